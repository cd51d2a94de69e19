"""Members that are not known: how many a group may await, and what that costs others."""

from directory.memberships import lock_users
from directory.tenancy import TenantScope
from directory.unit_of_work import UnitOfWork
from tests.support.scim_client import ScimClient


def test_unknown_members_are_limited_and_cost_no_lock_each(scim: ScimClient) -> None:
    """The limit is named; as many as are allowed take no lock away from anybody else."""
    group = scim.create_group("Finance")
    refused = scim.put_group(group, "Finance", [f"x{n}" for n in range(20_000)])
    assert refused.status_code == 400
    assert "10000" in refused.json["detail"]
    assert scim.put_group(group, "Finance", [f"x{n}" for n in range(10_000)]).status_code == 200
    with UnitOfWork(scim.wiring.engine) as uow:
        scope = TenantScope(uow.connection, scim.tenant_id)
        lock_users(scope, [f"y{n}" for n in range(1_000)])
        (row,) = scim.rows("SELECT count(*) AS held FROM pg_locks WHERE locktype = 'advisory'")
    assert row.held == 64
