"""The whole product in one process, over real parts: for tests that need speed or races.

PostgreSQL is a server; the encryption service is built by its own wiring and reached over gRPC with
mutual TLS; SCIM and member requests go through the gateway's application; a job is a call of the
worker's function. Redis is away: nothing here needs it (jobs are hints).
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch
from uuid import UUID

from sqlalchemy import text

import encryption_service.wiring as service_wiring
from directory.credentials import create_session
from directory.database import make_engine
from directory.due_work import tenants_with_work
from directory.tenancy import TenantScope
from directory.tenants import create_tenant
from directory.unit_of_work import UnitOfWork
from embedded.ports import free_port
from encryption_service.keyset import unseal_keyset
from encryption_service.ledger_store import drop_acknowledged_envelopes, read_service
from encryption_service.root_key.file import FileRootKey, create_root_key
from encryption_service.server_identity import identity_document
from encryption_service.settings import ServiceSettings
from encryption_service.store import Store
from encryption_service.wrap_pool import WrapPool
from groupseal.pairing import ServiceIdentity
from scim_gateway.app import create_app
from scim_gateway.settings import GatewaySettings
from scim_gateway.wiring import Wiring as GatewayWiring
from tests.support.scim_client import ScimClient
from worker.client_certificates import Authority, tenant_identity
from worker.pairing import Pairing, matching
from worker.reconcile_tenant import reconcile_tenant
from worker.settings import WorkerSettings
from worker.wiring import Wiring, make_wiring

StepWatcher = Callable[[str], None]


class KeptPool(WrapPool):
    """Sealing processes that outlive the services that use them: starting them takes a second."""

    def start(self) -> None:
        """They run."""

    def stop(self) -> None:
        """They go on running."""

    @contextmanager
    def running(self) -> Iterator[Self]:
        super().start()
        try:
            yield self
        finally:
            super().stop()


class OwnService:
    """A customer's encryption service in this process, on a folder; may be started again."""

    def __init__(
        self, folder: Path, vendor_ca: Path, client: str, pool: WrapPool | None = None, **more: Any
    ) -> None:
        folder.mkdir(parents=True)
        self._root_key = folder / "root.key"
        create_root_key(self._root_key)
        self.settings = ServiceSettings(
            data_dir=folder / "data",
            root_key_file=self._root_key,
            listen=f"127.0.0.1:{free_port()}",
            vendor_ca_file=vendor_ca,
            allowed_client_identities=(client,),
            envelope_grace_seconds=0,
            wrap_processes=1,
            **more,
        )
        self._pool = pool
        self.on_step: StepWatcher = lambda _: None
        self.start()

    @property
    def address(self) -> str:
        return self.settings.listen

    def start(self) -> None:
        with patch.object(service_wiring, "WrapPool", self._make_pool):
            self._service = service_wiring.build(self.settings, on_step=self._step)
            self._service.start()

    def stop(self) -> None:
        self._service.stop()

    def restart(self) -> None:
        self.stop()
        self.start()

    def _step(self, name: str) -> None:
        self.on_step(name)

    def _make_pool(self, processes: int) -> WrapPool:
        return self._pool or WrapPool(processes)

    @property
    def provider(self) -> FileRootKey:
        return FileRootKey(self._root_key)

    def identity(self) -> ServiceIdentity:
        """What `encryption-service identity` prints."""
        with self.store() as connection:
            row = read_service(connection)
        assert row is not None
        keyset = unseal_keyset(row.sealed_keyset, row.organisation, self.provider)
        return identity_document(self.settings, keyset)

    @contextmanager
    def store(self) -> Iterator[Any]:
        """A reading connection, as commands beside the service have it."""
        store = Store(self.settings.data_dir)
        try:
            with store.reader() as connection:
                yield connection
        finally:
            store.close()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of its store."""
        with self.store() as connection:
            return list(connection.execute(query).fetchall())

    def drop_envelopes(self) -> None:
        """Does now what its housekeeping does every few seconds."""
        more = True
        while more:
            before = service_wiring.system_clock()
            more = self._service._writer.task(
                lambda connection: drop_acknowledged_envelopes(connection, before, 50)  # noqa: B023
            ).result()


class World:
    """One vendor, one tenant, and its customer's encryption service, paired."""

    def __init__(
        self, database_url: str, folder: Path, *, pool: WrapPool | None = None, **service: Any
    ) -> None:
        self.database_url = database_url
        self.engine = make_engine(database_url, pool_size=8, application="test")
        self._authority_dir = folder / "authority"
        authority = Authority.create(self._authority_dir)
        with UnitOfWork(self.engine) as work:
            made = create_tenant(work.connection, "tenant")
            work.commit()
        self.tenant_id = made.tenant_id
        self._redis_url = f"redis://127.0.0.1:{free_port()}"
        self._workers: list[Wiring] = []
        self.app = create_app(
            GatewayWiring(
                # Nobody here is slow, or a stranger: no limit is to be met.
                GatewaySettings(
                    database_url=database_url,
                    redis_url=self._redis_url,
                    gateway_rate_per_second=0,
                    gateway_rate_failures_per_minute=0,
                ),
                self.engine,
                wake=lambda _: None,
                closing=lambda: None,
            )
        )
        gateway = self.app.extensions["groupseal"]
        self.scim = ScimClient(self.app, gateway, made.tenant_id, made.scim_token)
        self.service = OwnService(
            folder / "service",
            self._authority_dir / "ca.crt",
            tenant_identity(made.tenant_id),
            pool,
            **service,
        )
        identity = self.service.identity()
        Pairing(self.engine, authority, 5).connect(
            made.tenant_id,
            self.service.address,
            identity.to_json(),
            matching(identity.fingerprint),
        )
        self.organisation = identity.organisation
        self.signing_public_key = identity.signing_public_key

    def close(self) -> None:
        for worker in self._workers:
            worker.close()
        self.service.stop()
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # The worker

    def worker(self, **settings: Any) -> Wiring:
        """The wiring of another worker process."""
        wiring = make_wiring(
            WorkerSettings(
                database_url=self.database_url,
                redis_url=self._redis_url,
                authority_dir=self._authority_dir,
                ledger_refresh=3600,
                **settings,
            )
        )
        self._workers.append(wiring)
        return wiring

    def let_time_pass(self, *, ledger_too: bool = False) -> None:
        """Every back-off is over; `ledger_too`: an idle ledger is due to be read again."""
        self.execute("UPDATE tenants SET next_attempt_at = now() WHERE id = :tenant")
        for table in ("groups", "member_keys"):
            self.execute(
                f"UPDATE {table} SET next_attempt_at = now()"  # noqa: S608 # constant names
                " WHERE tenant_id = :tenant AND next_attempt_at > now()"
            )
        if ledger_too:
            self.execute("UPDATE tenants SET ledger_read_at = NULL WHERE id = :tenant")

    def settle(self, worker: Wiring, within: float = 20.0) -> None:
        """Runs jobs, as the sweeper would ask for them, until both sides have nothing left."""
        deadline = time.monotonic() + within
        while True:
            left = self.unsettled()
            self.let_time_pass(ledger_too=not self.pending())
            assert self.is_due(worker), f"the sweeper does not see what is left to do: {left}"
            reconcile_tenant(worker, self.tenant_id)
            if not left and not self.unsettled():
                return
            assert time.monotonic() < deadline, f"after {within} s there is left to do: {left}"
            threading.Event().wait(0.01)  # the service may have work of its own

    def is_due(self, worker: Wiring) -> bool:
        """Whether the sweeper would ask for a job."""
        with UnitOfWork(self.engine) as work:
            return self.tenant_id in tenants_with_work(work.connection, worker.refresh)

    def pending(self) -> list[str]:
        """What the vendor has to do or to wait for, for people to read."""
        queries = {
            "halted": "SELECT halted_reason FROM tenants"
            " WHERE id = :tenant AND halted_reason IS NOT NULL",
            "dirty groups": "SELECT id, reason, attempts FROM groups"
            " WHERE tenant_id = :tenant AND desired_version > reconciled_version",
            "keys": "SELECT member_id, reason FROM member_keys"
            " WHERE tenant_id = :tenant AND state = 'submitted'",
            "envelopes": "SELECT group_id, member_id FROM missing_envelopes"
            " WHERE tenant_id = :tenant",
        }
        found = {what: self.rows(query) for what, query in queries.items()}
        return [f"{what}: {rows}" for what, rows in found.items() if rows]

    def unsettled(self) -> list[str]:
        """What is left to do on either side."""
        left = self.pending()
        working = self.service.rows("SELECT hex(group_id) FROM groups WHERE needs_work = 1")
        if working:
            left.append(f"groups that the service works on: {working}")
        size = self.service.rows("SELECT count(*) FROM entries")[0][0]
        held = self.value("SELECT ledger_size FROM tenants WHERE id = :tenant")
        return left if size == held else [*left, f"the copy holds {held} of {size} entries"]

    # The vendor's database

    def rows(self, statement: str, **parameters: object) -> list[Any]:
        with UnitOfWork(self.engine) as work:
            bound = {"tenant": self.tenant_id, **parameters}
            return list(work.connection.execute(text(statement), bound))

    def value(self, statement: str, **parameters: object) -> Any:
        """The first column of the only row."""
        (row,) = self.rows(statement, **parameters)
        return row[0]

    def execute(self, statement: str, **parameters: object) -> None:
        """Changes the database, as no request could."""
        with UnitOfWork(self.engine) as work:
            bound = {"tenant": self.tenant_id, **parameters}
            work.connection.execute(text(statement), bound)
            work.commit()

    # Members

    def member_token(self, member: UUID, valid_hours: int = 1) -> str:
        """A session, as an enrolment code yields it."""
        with UnitOfWork(self.engine) as work:
            scope = TenantScope(work.connection, self.tenant_id)
            token = create_session(scope, member, timedelta(hours=valid_hours))
            work.commit()
        return token

    def member_request(
        self, token: str, method: str, path: str, body: object = None, **query: str
    ) -> tuple[int, Any]:
        """A request to the member API: status and JSON."""
        response = self.app.test_client().open(
            f"/member/v1{path}",
            method=method,
            json=body,
            query_string=query,
            headers={"Authorization": f"Bearer {token}"},
        )
        return response.status_code, response.get_json()
