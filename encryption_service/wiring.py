"""The composition root of `serve`: everything is made and connected here, and nowhere else."""

import os
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from encryption_service.admin_commands import AdminCommands
from encryption_service.admin_socket import AdminSocket, admin_socket_path
from encryption_service.administration import Administration
from encryption_service.admission import BY_POLICY, Admission
from encryption_service.bindings import Binder
from encryption_service.checkpointer import Checkpointer
from encryption_service.first_start import open_keyset
from encryption_service.group_secrets import SecretVault
from encryption_service.group_store import GroupStore
from encryption_service.heads import HeadGuard, HeadSigner
from encryption_service.health_http import HealthServer
from encryption_service.holds import HoldStore
from encryption_service.housekeeping import Housekeeper
from encryption_service.key_store import KeyStore
from encryption_service.keyset import Keyset
from encryption_service.ledger_store import Clock, LedgerAppender, read_service
from encryption_service.membership import make_source
from encryption_service.membership.checker import MembershipChecker
from encryption_service.membership_events import MembershipRecorder
from encryption_service.monitoring import Monitoring
from encryption_service.oidc.verifier import EvidenceVerifier
from encryption_service.outbound_http import OutboundHttp
from encryption_service.policy.policy import Policy
from encryption_service.policy.policy_file import PolicyFile
from encryption_service.progress import Progress
from encryption_service.reconcile import Limits, Reconciler
from encryption_service.root_key.file import FileRootKey
from encryption_service.rotation import Pace
from encryption_service.server_identity import CertificateSource
from encryption_service.settings import ServiceSettings
from encryption_service.store import Store, lock_folder, prepare_folder
from encryption_service.subject_vault import SubjectVault
from encryption_service.trust_record import record_policy, record_trust
from encryption_service.wrap_pool import WrapPool
from encryption_service.writer import Writer
from groupseal.identifiers import fingerprint, identifier_to_text
from groupseal.reasons import Reason
from groupseal.trust import MembershipCheck, TrustMode

_log = structlog.get_logger(__name__)
_GRACE_SECONDS = 5.0
# Suites of TLS 1.2 that need a pre-shared key, of which there is none: TLS 1.3, whose suites this
# does not touch, is all that can be negotiated. gRPC for Python has no other switch for it.
_NO_TLS_1_2 = "ECDHE-PSK-AES128-CBC-SHA"


def system_clock() -> int:
    """Milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


def _no_step(_: str) -> None:
    """Tests pass something that ends the process at a step."""


class Service:
    """The running service."""

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        on_step: Callable[[str], None] = _no_step,
        clock: Clock = system_clock,
    ) -> None:
        self._settings = settings
        self._on_step = on_step
        self._clock = clock
        self._ready = False
        self._stops: list[Callable[[], object]] = []
        self._monitoring = Monitoring(settings, clock)

    def start(self) -> None:
        """Returns once calls are accepted. Raises ServiceError; `stop` tidies up in any case."""
        settings, clock = self._settings, self._clock
        os.environ.setdefault("GRPC_SSL_CIPHER_SUITES", _NO_TLS_1_2)
        if settings.health_listen:
            health = HealthServer(settings.health_listen, self._is_alive, lambda: self._ready)
            health.start()
            self._stops.append(health.stop)
        prepare_folder(settings.data_dir)
        lock = lock_folder(settings.data_dir)
        self._stops.append(lock.close)
        provider = FileRootKey(settings.root_key_file)
        policy = PolicyFile(settings.policy_file, self._policy_changed)
        policy.load()
        store = Store(settings.data_dir)
        store.migrate()
        self._stops.append(store.close)
        checkpointer = Checkpointer(store)
        checkpointer.start()
        self._stops.append(checkpointer.stop)
        connection = store.open_writer()
        self._stops.append(connection.close)
        keyset = open_keyset(connection, provider, settings.trust, clock)
        pool = WrapPool(settings.sealing_processes)
        pool.start()
        self._stops.append(pool.stop)
        self._ledger = ledger = LedgerAppender(connection, clock, self._monitoring.metrics.appended)
        self._record_settings(connection, policy)
        core = self._core(connection, keyset, pool, policy, checkpointer)
        self._writer, self._admission, self._binder = core.writer, core.admission, core.binder
        recorder = MembershipRecorder(
            writer=core.writer, admission=core.admission, store=store, trust=settings.trust
        )
        checker = self._checker(recorder)
        core.admission.membership = checker
        row = read_service(connection)
        halted = Reason(row.halted_reason) if row and row.halted_reason else None
        core.writer.start(GroupStore(connection).with_work(), halted)
        self._stops.append(core.writer.stop)
        if checker is not None:
            checker.start()
            self._stops.append(checker.stop)
        policy.start()
        self._stops.append(policy.stop)
        self._hear_the_customer(store, keyset, core, policy)
        self._serve(store, keyset, core, policy)
        self._ready = True
        _log.info(
            "serving",
            listen=settings.listen,
            organisation=identifier_to_text(keyset.organisation),
            fingerprint=fingerprint(keyset.signing_public_key),
            ledger_size=ledger.size,
            trust_mode=settings.trust_mode.name.lower(),
            membership_check=settings.trust.membership_check.name.lower(),
        )
        if halted:
            _log.error("halted", reason=halted, remedy=halted.remedy)

    def stop(self) -> None:
        """Lets calls end, then closes everything in the reverse order of its start."""
        self._ready = False
        while self._stops:
            self._stops.pop()()

    def _core(
        self,
        connection: sqlite3.Connection,
        keyset: Keyset,
        pool: WrapPool,
        policy: PolicyFile,
        checkpointer: Checkpointer,
    ) -> "_Core":
        """Everything that works inside the writer's transactions."""
        settings, clock = self._settings, self._clock
        admission = Admission(
            connection=connection,
            trust=settings.trust,
            policy=lambda: policy.current,
            recheck_ms=int(settings.membership_recheck_seconds * 1000),
            clock=clock,
        )
        binder = Binder(
            connection=connection,
            ledger=self._ledger,
            vault=SubjectVault(keyset.organisation, keyset.key_encryption_keys),
            mode=settings.trust_mode,
            allowed_suites=settings.allowed_suites,
            max_devices=settings.max_devices_per_member,
            policy=lambda: policy.current,
            clock=clock,
        )
        reconciler = Reconciler(
            ledger=self._ledger,
            groups=GroupStore(connection),
            keys=KeyStore(connection),
            vault=SecretVault(keyset.organisation, keyset.key_encryption_keys),
            admission=admission,
            pace=Pace(settings.rotations_per_second),
            limits=Limits(settings.max_roster, int(settings.opening_delay_max_seconds * 1000)),
            clock=clock,
            on_step=self._on_step,
        )
        progress = Progress(self._ledger.size, admission.holds.version)
        writer = Writer(
            connection=connection,
            ledger=self._ledger,
            reconciler=reconciler,
            binder=binder,
            admission=admission,
            pool=pool,
            on_step=self._on_step,
            on_commit=progress.publish,
            on_pause=checkpointer.wake,
        )
        return _Core(admission, binder, writer, progress)

    def _outbound(self) -> OutboundHttp:
        """One for each who asks outside: a source that hangs takes no connection from evidence."""
        http = OutboundHttp(
            allow_private_addresses=self._settings.outbound_allow_private,
            ca_file=self._settings.outbound_ca_file,
        )
        self._stops.append(http.close)
        return http

    def _checker(self, recorder: MembershipRecorder) -> MembershipChecker | None:
        settings = self._settings
        if not settings.asks_source:
            return None
        source = make_source(settings, self._outbound(), self._clock)
        if source is None:
            return None
        checker = MembershipChecker(
            source,
            recorder,
            clock=self._clock,
            cache_ms=int(settings.membership_cache_seconds * 1000),
            audit_ms=int(settings.membership_audit_seconds * 1000),
            recheck_ms=int(settings.membership_recheck_seconds * 1000),
            enforce=settings.trust.membership_check is MembershipCheck.ENFORCE,
        )
        self._monitoring.checker = checker
        return checker

    def _record_settings(self, connection: sqlite3.Connection, policy: PolicyFile) -> None:
        """Before anything is decided by them; what they held back is looked at again."""
        connection.execute("BEGIN IMMEDIATE")
        record_trust(connection, self._ledger, self._settings.trust)
        is_set = self._settings.policy_file is not None
        record_policy(connection, self._ledger, policy.current.digest, is_set=is_set)
        HoldStore(connection).look_again(tuple(Reason))
        GroupStore(connection).reconsider_pending(self._clock())
        self._ledger.save()
        connection.execute("COMMIT")

    def _policy_changed(self, policy: Policy) -> None:
        """Called from the policy's thread: the ledger says so, and what waits is looked at."""
        holds = self._admission.holds

        def event(connection: sqlite3.Connection) -> tuple[None, list[bytes]]:
            record_policy(connection, self._ledger, policy.digest)
            GroupStore(connection).reconsider_pending(self._clock())
            return None, [*holds.look_again(BY_POLICY), *self._binder.approve_all()]

        self._writer.event(event).result()
        self._monitoring.metrics.policy_reloads.inc()
        _log.info("policy_changed", digest=policy.digest.hex())

    def _hear_the_customer(
        self, store: Store, keyset: Keyset, core: "_Core", policy: PolicyFile
    ) -> None:
        """The commands of the customer's own people, on a socket in the data folder."""
        administration = Administration(
            organisation=keyset.organisation,
            store=store,
            writer=core.writer,
            ledger=self._ledger,
            binder=core.binder,
            admission=core.admission,
            policy=policy,
            clock=self._clock,
        )
        commands = AdminCommands(
            administration,
            fingerprint=fingerprint(keyset.signing_public_key),
            live_status=self._monitoring.live_status,
        )
        socket = AdminSocket(admin_socket_path(self._settings.data_dir), commands.answer)
        socket.start()
        self._stops.append(socket.stop)

    def _serve(
        self,
        store: Store,
        keyset: Keyset,
        core: "_Core",
        policy: PolicyFile,
    ) -> None:
        """gRPC comes last, and is imported last: it reads its environment when it is."""
        from encryption_service.offers import OfferReader
        from encryption_service.server import EncryptionService, make_server

        settings, clock = self._settings, self._clock
        verifier = None
        if settings.trust_mode is TrustMode.OIDC:
            verifier = EvidenceVerifier(
                trust=settings.trust,
                organisation_key=keyset.signing_public_key,
                evidence_seed=keyset.evidence_seed,
                http=self._outbound(),
                clock=clock,
            )
        certificates = CertificateSource(settings, keyset, clock)
        service = EncryptionService(
            settings=settings,
            organisation=keyset.organisation,
            signing_public_key=keyset.signing_public_key,
            evidence_public_key=keyset.evidence_public_key,
            store=store,
            writer=core.writer,
            signer=HeadSigner(keyset, clock),
            guard=HeadGuard(keyset, core.writer),
            certificates=certificates,
            offers=OfferReader(keyset.organisation, verifier),
            policy=policy,
            progress=core.progress,
            metrics=self._monitoring.metrics,
            clock=clock,
        )
        self._stops.append(self._monitoring.stop)
        self._monitoring.start(store=store, certificates=certificates, policy=policy)
        server = make_server(settings, service, certificates)
        server.start()
        self._stops.append(lambda: server.stop(_GRACE_SECONDS).wait())
        self._stops.append(core.progress.close)
        housekeeper = Housekeeper(
            store=store,
            writer=core.writer,
            admission=core.admission,
            grace_seconds=settings.envelope_grace_seconds,
            clock=clock,
        )
        housekeeper.start()
        self._stops.append(housekeeper.stop)

    def _is_alive(self) -> bool:
        return not self._ready or self._writer.alive


@dataclass(frozen=True, slots=True)
class _Core:
    """The writer and what works inside its transactions."""

    admission: Admission
    binder: Binder
    writer: Writer
    progress: Progress


def build(
    settings: ServiceSettings,
    *,
    on_step: Callable[[str], None] = _no_step,
    clock: Clock = system_clock,
) -> Service:
    """The service, not yet started. `on_step` is told of every step that matters to a crash."""
    return Service(settings, on_step=on_step, clock=clock)
