"""What the worker's tests share: a tenant in a real database, connected with a service."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine, event

from directory.database import make_engine
from directory.groups import create_group, touch
from directory.memberships import add_members, remove_members
from directory.tenancy import TenantScope
from directory.tenants import create_tenant
from directory.unit_of_work import UnitOfWork
from directory.users import UserContent, create_user
from groupseal.bindings import BindingRequest
from groupseal.pairing import ServiceIdentity
from groupseal.suites import Suite
from tests.support.org_maker import xwing_public_key
from worker.client_certificates import Authority
from worker.pairing import Pairing, matching
from worker.reconcile_tenant import reconcile_tenant
from worker.settings import WorkerSettings
from worker.wiring import Wiring, make_wiring

AUTHORITY = "authority"


@dataclass
class Bench:
    """A vendor's database with one or more tenants, and workers on it."""

    database_url: str
    redis_url: str
    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.engine: Engine = make_engine(self.database_url)
        self.authority = Authority.create(self.folder / AUTHORITY)
        self.vendor_ca = (self.folder / AUTHORITY / "ca.crt").read_bytes()
        self._wirings: list[Wiring] = []

    def close(self) -> None:
        for wiring in self._wirings:
            wiring.close()
        self.engine.dispose()

    def worker(self, on_step: Callable[[str], None] | None = None) -> Wiring:
        """The wiring of another worker."""
        wiring = make_wiring(
            WorkerSettings(
                database_url=self.database_url,
                redis_url=self.redis_url,
                authority_dir=self.folder / AUTHORITY,
                **self.settings,
            )
        )
        if on_step is not None:
            wiring.on_step = on_step
        self._wirings.append(wiring)
        return wiring

    def environment(self) -> dict[str, str]:
        """The variables of a worker process."""
        chosen = {f"GROUPSEAL_{k.upper()}": str(v) for k, v in self.settings.items()}
        return {
            **os.environ,
            "GROUPSEAL_DATABASE_URL": self.database_url,
            "GROUPSEAL_REDIS_URL": self.redis_url,
            "GROUPSEAL_AUTHORITY_DIR": str(self.folder / AUTHORITY),
            **chosen,
        }

    def tenant(self) -> "Tenant":
        with UnitOfWork(self.engine) as work:
            made = create_tenant(work.connection, f"tenant {uuid4()}")
            work.commit()
        return Tenant(self, made.tenant_id)


@dataclass
class Tenant:
    """One tenant's side: pushes, keys, and what its rows say."""

    bench: Bench
    id: UUID

    def connect(self, identity: ServiceIdentity, address: str, *, offline: bool = False) -> None:
        pairing = Pairing(self.bench.engine, self.bench.authority, 5)
        confirm = matching(identity.fingerprint)
        pairing.connect(self.id, address, identity.to_json(), confirm, offline=offline)

    def user(self, name: str | None = None) -> UUID:
        content = UserContent(user_name=name or f"{uuid4()}@example.com")
        with UnitOfWork(self.bench.engine) as work:
            user = create_user(TenantScope(work.connection, self.id), content).user
            work.commit()
        return user.id

    def users(self, count: int) -> list[UUID]:
        return [self.user() for _ in range(count)]

    def group(self, members: Iterable[UUID] = (), name: str | None = None) -> UUID:
        with UnitOfWork(self.bench.engine) as work:
            scope = TenantScope(work.connection, self.id)
            group = create_group(scope, name or f"Finance {uuid4()}", None)
            add_members(scope, group.id, dict.fromkeys(members))
            touch(scope, [group.id])
            work.commit()
        return group.id

    def push(self, group: UUID, add: Iterable[UUID] = (), remove: Iterable[UUID] = ()) -> None:
        with UnitOfWork(self.bench.engine) as work:
            scope = TenantScope(work.connection, self.id)
            add_members(scope, group, dict.fromkeys(add))
            remove_members(scope, group, remove)
            touch(scope, [group])
            work.commit()

    def submit_key(self, organisation: bytes, user: UUID) -> bytes:
        """Submits a new device key of a member; returns its id."""
        signing = Ed25519PrivateKey.generate()
        request = BindingRequest(
            organisation,
            user.bytes,
            Suite.XWING,
            xwing_public_key(os.urandom(32)),
            signing.public_key().public_bytes_raw(),
        )
        self.run(
            "INSERT INTO member_keys (tenant_id, key_id, member_id, suite, hpke_public_key,"
            " signing_public_key, possession_proof) VALUES (%s, %s, %s, %s, %s, %s, %s)",
            self.id,
            request.key_id,
            user,
            int(request.suite),
            request.hpke_public_key,
            request.signing_public_key,
            signing.sign(request.message()),
        )
        return request.key_id

    def reconcile(self, wiring: Wiring | None = None) -> None:
        """One job."""
        reconcile_tenant(wiring or self.bench.worker(), self.id)

    def run(self, statement: str, *parameters: Any) -> None:
        with psycopg.connect(self.bench.database_url, autocommit=True) as connection:
            connection.execute(statement, parameters)

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What a query with `%s` for the tenant first says."""
        with psycopg.connect(self.bench.database_url, autocommit=True) as connection:
            return connection.execute(statement, (self.id, *parameters)).fetchall()

    def one(self, statement: str, *parameters: Any) -> Any:
        (row,) = self.rows(statement, *parameters)
        return row[0] if len(row) == 1 else row

    def committed(self, group: UUID) -> set[UUID]:
        """Members whose membership is committed: granted in the newest, open epoch."""
        rows = self.rows(
            "SELECT m.user_id FROM memberships m"
            " JOIN groups g ON g.tenant_id = m.tenant_id AND g.id = m.group_id"
            " JOIN grants t ON t.tenant_id = m.tenant_id AND t.group_id = m.group_id"
            "  AND t.member_id = m.user_id AND t.key_id = m.grant_key_id"
            " WHERE m.tenant_id = %s AND m.group_id = %s AND m.wanted"
            "  AND g.epoch_open AND t.epoch = g.epoch",
            group,
        )
        return {row[0] for row in rows}

    def dirty(self) -> list[UUID]:
        rows = self.rows(
            "SELECT id FROM groups WHERE tenant_id = %s AND desired_version > reconciled_version"
        )
        return [row[0] for row in rows]

    def ledger_size(self) -> int:
        return int(self.one("SELECT ledger_size FROM tenants WHERE id = %s"))

    def make_due(self) -> None:
        """As if every back-off were over."""
        self.run("UPDATE tenants SET next_attempt_at = now() WHERE id = %s", self.id)
        self.run("UPDATE groups SET next_attempt_at = now() WHERE tenant_id = %s", self.id)

    def kinds(self) -> list[str]:
        """The timeline's kinds, in order."""
        rows = self.rows("SELECT kind FROM timeline WHERE tenant_id = %s ORDER BY id")
        return [row[0] for row in rows]


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


def killer(step: str) -> Callable[[str], None]:
    """An `on_step` that kills at the first such step."""

    def on_step(reached: str) -> None:
        if reached == step:
            raise Killed(step)

    return on_step


def in_background(work: Callable[[], object]) -> threading.Thread:
    """Runs something in a thread of its own."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


@contextmanager
def counted(wiring: Wiring) -> Iterator[list[str]]:
    """The statements that a worker sends meanwhile."""
    statements: list[str] = []

    def note(*args: Any) -> None:
        statements.append(args[2])

    event.listen(wiring.engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(wiring.engine, "before_cursor_execute", note)
