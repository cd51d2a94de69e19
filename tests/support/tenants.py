"""Further tenants of a whole stack, each with an encryption service of its own."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg

from benchmarks.population import insert_members
from tests.support.okta import Okta
from tests.support.service import ServiceProcess
from tests.support.stack import Stack
from tests.support.waiting import wait_for
from worker.client_certificates import tenant_identity


@dataclass
class PairedTenant:
    """A tenant, its customer's service as a process, and its identity provider."""

    id: UUID
    service: ServiceProcess
    okta: Okta
    database: psycopg.Connection[Any]

    def value(self, query: str, *parameters: object) -> Any:
        """The first column of the only row; `%s` are the tenant's id and the parameters."""
        row = self.database.execute(query, (self.id, *parameters)).fetchone()
        assert row is not None, query
        return row[0]

    def add_members(self, count: int) -> list[str]:
        """Users whose keys are bound."""
        organisation: UUID = self.value("SELECT organisation_id FROM tenants WHERE id = %s")
        users = insert_members(self.database, self.id, organisation, count, uuid4().hex)
        query = "SELECT count(*) FROM member_keys WHERE tenant_id = %s AND state <> 'bound'"
        wait_for(lambda: self.value(query) == 0, 60, "the binding of every key")
        return [str(user) for user in users]

    def is_committed(self, group: str, user: str) -> bool:
        """Whether the member holds a grant of the group's open epoch."""
        query = (
            "SELECT count(*) FROM memberships m"
            " JOIN groups g ON g.tenant_id = m.tenant_id AND g.id = m.group_id AND g.epoch_open"
            " JOIN grants r ON r.tenant_id = m.tenant_id AND r.group_id = m.group_id"
            " AND r.member_id = m.user_id AND r.key_id = m.grant_key_id AND r.epoch = g.epoch"
            " WHERE m.tenant_id = %s AND m.group_id = %s AND m.user_id = %s AND m.wanted"
        )
        return bool(self.value(query, group, user))

    def dirty_groups(self) -> int:
        query = (
            "SELECT count(*) FROM groups"
            " WHERE tenant_id = %s AND desired_version > reconciled_version"
        )
        return int(self.value(query))


@contextmanager
def paired_tenant(stack: Stack, folder: Path, name: str) -> Iterator[PairedTenant]:
    """Creates a tenant, starts its customer's service, and connects the two."""
    made = json.loads(stack.run("tenant", "create", "--name", name, "--json").stdout)
    tenant = UUID(made["tenant_id"])
    service = ServiceProcess(
        folder / name,
        vendor_ca=(stack.data / "authority" / "ca.crt").read_bytes(),
        client_identity=tenant_identity(tenant),
        environment={"GROUPSEAL_SERVICE_WRAP_PROCESSES": "1"},
    )
    okta = Okta(stack.ready["scim_base_url"], made["scim_token"])
    with service, stack.database() as database:
        document = folder / name / "identity.json"
        document.write_text(service.run("identity", "--json").stdout)
        fingerprint = service.identity().fingerprint
        stack.run(
            *("tenant", "connect", "--tenant", str(tenant), "--address", service.address),
            *("--identity", str(document), "--fingerprint", fingerprint),
        )
        try:
            yield PairedTenant(tenant, service, okta, database)
        finally:
            okta.close()
