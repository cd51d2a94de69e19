"""A whole product of separate processes, on a database of its own; the test is its supervisor."""

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import httpx

from directory.credentials import create_code, create_scim_token
from directory.tenancy import TenantScope
from directory.unit_of_work import UnitOfWork
from embedded.ports import free_port
from member_client.client import MemberClient
from tests.faults.devices import Devices
from tests.faults.fault_point import FOLDER_VARIABLE, FaultControl
from tests.faults.supervised import Supervised, groupseal, module
from tests.support.okta import Okta
from tests.support.postgres import RunningPostgres
from tests.support.service import ServiceProcess
from tests.support.waiting import wait_for
from tests.worker.parts import Bench, Tenant
from worker.client_certificates import tenant_identity

VENDOR = ("gateway", "worker", "sweeper")

_PENDING = """
    SELECT 'group ' || g.display_name || ' ' || coalesce(g.reason, '') FROM groups g
    WHERE g.tenant_id = %s AND g.desired_version > g.reconciled_version
    UNION ALL
    SELECT 'key ' || coalesce(k.reason, '') FROM member_keys k
    WHERE k.tenant_id = %s AND k.state = 'submitted'
    UNION ALL
    SELECT 'membership ' || m.user_id FROM memberships m
    JOIN groups g ON g.tenant_id = m.tenant_id AND g.id = m.group_id
    WHERE m.tenant_id = %s AND (m.wanted <> m.rostered OR m.wanted AND EXISTS (
        SELECT FROM member_keys k WHERE k.tenant_id = m.tenant_id AND k.member_id = m.user_id
            AND k.state = 'bound' AND NOT EXISTS (
                SELECT FROM grants t WHERE t.tenant_id = m.tenant_id AND t.group_id = m.group_id
                    AND t.member_id = m.user_id AND t.key_id = k.key_id AND t.epoch = g.epoch
                    AND g.epoch_open)))
"""


class World:
    """Gateway, worker, sweeper and encryption service of one tenant.

    With `faults` the first two and the last are the entry programs beside this file, so that they
    can be told to die at a step; without, they are the product's own commands.
    """

    def __init__(
        self,
        postgres: RunningPostgres,
        template: str,
        redis_url: str,
        folder: Path,
        *,
        faults: bool = False,
        service_settings: dict[str, str] | None = None,
        vendor_settings: dict[str, Any] | None = None,
    ) -> None:
        self.postgres = postgres
        self.database = postgres.create(template=template)
        self.folder = folder
        settings = {"sweep_interval": 0.2, "ledger_refresh": 1.0, **(vendor_settings or {})}
        self.bench = Bench(postgres.url(self.database), redis_url, folder, settings)
        self.tenant: Tenant = self.bench.tenant()
        service_environment = {
            "GROUPSEAL_SERVICE_OPENING_DELAY_MAX_SECONDS": "0.3",
            **(service_settings or {}),
        }
        self.service_process = ServiceProcess(
            folder / "service",
            environment=service_environment,
            vendor_ca=self.bench.vendor_ca,
            client_identity=tenant_identity(self.tenant.id),
        )
        self._gateway_port = free_port()
        with UnitOfWork(self.bench.engine) as work:
            token = create_scim_token(TenantScope(work.connection, self.tenant.id))
            work.commit()
        self.gateway_address = f"http://127.0.0.1:{self._gateway_port}"
        self.okta = Okta(f"{self.gateway_address}/scim/v2", token)
        self._clients: list[MemberClient] = []
        self.controls = {
            name: FaultControl(folder, name) for name in ("service", "worker", "gateway")
        }
        vendor = {
            **self.bench.environment(),
            "GROUPSEAL_GATEWAY_LISTEN": f"127.0.0.1:{self._gateway_port}",
            FOLDER_VARIABLE: str(folder),
        }
        service = {
            **{k: v for k, v in os.environ.items() if not k.startswith("GROUPSEAL_")},
            **self.service_process.environment,
            FOLDER_VARIABLE: str(folder),
        }
        commands = {
            "service": (sys.executable, "-m", "encryption_service", "serve"),
            "gateway": groupseal("gateway"),
            "worker": groupseal("worker"),
            "sweeper": groupseal("sweeper"),
        }
        if faults:
            commands |= {n: module(f"tests.faults.run_{n}") for n in self.controls}
        ready = {
            "service": lambda: self.service_process.probe("/readyz") == 200,
            "gateway": self._gateway_answers,
        }
        self.processes = {
            name: Supervised(
                command,
                service if name == "service" else vendor,
                folder / f"{name}.log",
                ready.get(name, lambda: True),
            )
            for name, command in commands.items()
        }

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _start(self) -> None:
        process = self.service_process
        process.run("root-key", "create", "--out", str(process.root_key_file))
        self.start("service")
        identity = process.identity()
        self.fingerprint = identity.fingerprint
        self.tenant.connect(identity, process.address)
        self.start(*VENDOR)
        self.devices = Devices(
            self.tenant, identity.organisation, identity.signing_public_key, self.folder / "home"
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop(*VENDOR, "service")
        self.okta.close()
        for client in self._clients:
            client.close()
        self.bench.close()
        self.postgres.drop(self.database)

    def member(self, user: UUID, home: Path | None = None) -> MemberClient:
        """A device of a member, enrolled over HTTP; with a home, the one that lives there."""
        with UnitOfWork(self.bench.engine) as work:
            scope = TenantScope(work.connection, self.tenant.id)
            code, _ = create_code(scope, user, timedelta(hours=1))
            work.commit()
        client = MemberClient(home or self.folder / "homes" / str(user))
        self._clients.append(client)
        client.enrol(self.gateway_address, code, fingerprint=self.fingerprint)
        return client

    def start(self, *names: str) -> None:
        for name in names:
            self.processes[name].start()

    def stop(self, *names: str) -> None:
        for name in names:
            self.processes[name].stop()

    def _gateway_answers(self) -> bool:
        try:
            return httpx.get(f"{self.gateway_address}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    # What holds

    def pending(self) -> list[str]:
        """What is still on its way, in words."""
        tenant = self.tenant
        return [row[0] for row in tenant.rows(_PENDING, tenant.id, tenant.id)]

    def wait_until_settled(self, within: float = 60.0) -> None:
        """Until nothing is due, and everyone who may have a key has it."""
        try:
            wait_for(lambda: not self.pending(), within, "convergence", every=0.02)
        except AssertionError as error:
            logs = "\n".join(f"{n}:\n{p.log[-1500:]}" for n, p in self.processes.items())
            raise AssertionError(f"{error}\npending: {self.pending()[:10]}\n{logs}") from None

    def assert_exactly_these_open(self, rosters: Mapping[UUID, Iterable[UUID]]) -> None:
        """Each group opens to one key, for its members with a device and for nobody else."""
        for group, members in rosters.items():
            opened = self.devices.open(group)
            assert opened.keys() == set(members) & self.devices.keys.keys()
            assert len(set(opened.values())) == 1

    def assert_sound(self) -> None:
        """No epoch twice, and both fsck commands find nothing."""
        epochs = self.tenant.rows("SELECT group_id, epoch FROM epochs WHERE tenant_id = %s")
        assert len(epochs) == len(set(epochs))
        self.run("fsck")
        self.service_process.run("fsck")

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A `groupseal` command of the vendor's operator."""
        result = subprocess.run(
            groupseal(*command),
            env=self.bench.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert not check or result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
        return result
