"""The composition root of `serve`: everything is made and connected here, and nowhere else."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable

import structlog

from encryption_service.bindings import Binder, Rules
from encryption_service.checkpointer import Checkpointer
from encryption_service.first_start import open_keyset
from encryption_service.group_secrets import SecretVault
from encryption_service.group_store import GroupStore
from encryption_service.heads import HeadGuard, HeadSigner
from encryption_service.health_http import HealthServer
from encryption_service.key_store import KeyStore
from encryption_service.ledger_store import (
    Clock,
    LedgerAppender,
    drop_acknowledged_envelopes,
    read_service,
)
from encryption_service.reconcile import Limits, Reconciler
from encryption_service.root_key.file import FileRootKey
from encryption_service.server_identity import CertificateSource
from encryption_service.settings import ServiceSettings
from encryption_service.store import Store, lock_folder, prepare_folder
from encryption_service.wrap_pool import WrapPool
from encryption_service.writer import Writer
from groupseal.identifiers import fingerprint, identifier_to_text
from groupseal.reasons import Reason

_log = structlog.get_logger(__name__)
_HOUSEKEEPING_SECONDS = 5.0
_DROPPED_AT_ONCE = 50
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
        self._stop = threading.Event()
        self._housekeeper = threading.Thread(target=self._keep_house, name="housekeeping")
        self._stops: list[Callable[[], object]] = []

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
        store = Store(settings.data_dir)
        store.migrate()
        self._stops.append(store.close)
        checkpointer = Checkpointer(store)
        checkpointer.start()
        self._stops.append(checkpointer.stop)
        connection = store.open_writer()
        self._stops.append(connection.close)
        keyset = open_keyset(connection, provider, clock)
        pool = WrapPool(settings.sealing_processes)
        pool.start()
        self._stops.append(pool.stop)

        ledger = LedgerAppender(connection, clock)
        groups, keys = GroupStore(connection), KeyStore(connection)
        reconciler = Reconciler(
            ledger=ledger,
            groups=groups,
            keys=keys,
            vault=SecretVault(keyset.organisation, keyset.key_encryption_keys),
            limits=Limits(settings.max_roster, int(settings.opening_delay_max_seconds * 1000)),
            clock=clock,
            on_step=self._on_step,
        )
        rules = Rules(settings.allowed_suites, settings.max_devices_per_member)
        self._writer = Writer(
            connection=connection,
            ledger=ledger,
            reconciler=reconciler,
            binder=Binder(ledger=ledger, keys=keys, groups=groups, rules=rules),
            pool=pool,
            on_step=self._on_step,
            on_pause=checkpointer.wake,
        )
        row = read_service(connection)
        halted = Reason(row.halted_reason) if row and row.halted_reason else None
        self._writer.start(groups.with_work(), halted)
        self._stops.append(self._writer.stop)

        # gRPC comes last, and is imported last: it reads its environment when it is.
        from encryption_service.server import EncryptionService, make_server

        certificates = CertificateSource(settings, keyset, clock)
        service = EncryptionService(
            settings=settings,
            organisation=keyset.organisation,
            signing_public_key=keyset.signing_public_key,
            store=store,
            writer=self._writer,
            signer=HeadSigner(keyset, clock),
            guard=HeadGuard(keyset, self._writer),
            certificates=certificates,
            clock=clock,
        )
        server = make_server(settings, service, certificates)
        server.start()
        self._stops.append(lambda: server.stop(_GRACE_SECONDS).wait())
        self._housekeeper.start()
        self._stops.append(self._housekeeper.join)
        self._ready = True
        _log.info(
            "serving",
            listen=settings.listen,
            organisation=identifier_to_text(keyset.organisation),
            fingerprint=fingerprint(keyset.signing_public_key),
            ledger_size=ledger.size,
            trust_mode=settings.trust_mode.name.lower(),
        )
        if halted:
            _log.error("halted", reason=halted, remedy=halted.remedy)

    def stop(self) -> None:
        """Lets calls end, then closes everything in the reverse order of its start."""
        self._ready = False
        self._stop.set()
        while self._stops:
            self._stops.pop()()

    def _is_alive(self) -> bool:
        return not self._ready or self._writer.alive

    def _keep_house(self) -> None:
        """Drops envelopes that were acknowledged a time of grace ago."""
        grace_ms = int(self._settings.envelope_grace_seconds * 1000)

        def drop(connection: sqlite3.Connection) -> bool:
            before_ms = self._clock() - grace_ms
            return drop_acknowledged_envelopes(connection, before_ms, _DROPPED_AT_ONCE)

        while not self._stop.wait(_HOUSEKEEPING_SECONDS):
            more = True
            while more and not self._stop.is_set() and not self._writer.halted:
                try:
                    more = self._writer.task(drop).result()
                except Exception as error:  # noqa: BLE001 # tidying up never ends the service
                    _log.error("housekeeping_failed", error=repr(error))
                    more = False


def build(
    settings: ServiceSettings,
    *,
    on_step: Callable[[str], None] = _no_step,
    clock: Clock = system_clock,
) -> Service:
    """The service, not yet started. `on_step` is told of every step that matters to a crash."""
    return Service(settings, on_step=on_step, clock=clock)
