"""What two independent probes of SCIM servers find, over HTTP on the gateway's own process.

Whatever a probe does not call good must be in one of the tables here, with the reason why the
gateway is right all the same. An entry that no longer occurs fails too: the tables never rot.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Client
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import CheckResult, Status, check_server
from scim_sanity.http_client import SCIMClient as SanityClient
from scim_sanity.http_client import SCIMResponse
from scim_sanity.probe import runner

from directory.database import make_engine
from directory.tenants import create_tenant
from directory.unit_of_work import UnitOfWork
from scim_gateway.attributes import PROVISIONING_GROUP_SCHEMA, PROVISIONING_USER_SCHEMA
from tests.support.gateway_process import GatewayProcess

# scim-sanity's name of the check -> what it says, and why that is right.
_NO_SUCH_RESOURCE = "the resource type is a draft's, no identity provider here sends it"
SANITY_SKIPS = {
    "Agent CRUD Lifecycle": _NO_SUCH_RESOURCE,
    "AgenticApplication CRUD Lifecycle": _NO_SUCH_RESOURCE,
    "Agent Rapid Lifecycle": _NO_SUCH_RESOURCE,
}
# It knows 200 only. RFC 7644 §3.5.2 lets a server answer PATCH with 204 unless `attributes` is in
# the request: the gateway's answer to a changed member must not grow with the group.
_MAY_BE_204 = "RFC 7644 §3.5.2 allows 204; with `attributes` the answer is 200, see the next test"
SANITY_MISTAKEN = {
    "PATCH /Groups/{id}": _MAY_BE_204,
    "PATCH /Groups/{id} add member": _MAY_BE_204,
    "PATCH /Groups/{id} remove members": _MAY_BE_204,
}
# scim2-tester's (resource type, check, attribute that it names) -> why the gateway is right.
_READ_ONLY = (
    "every attribute of the extension is readOnly, but the probe writes the extension as a whole: "
    "400 `mutability` is what RFC 7644 §3.5.2 demands"
)
TESTER_MISTAKEN = {
    ("User", "check_add_attribute", PROVISIONING_USER_SCHEMA): _READ_ONLY,
    ("User", "check_replace_attribute", PROVISIONING_USER_SCHEMA): _READ_ONLY,
    ("Group", "check_add_attribute", PROVISIONING_GROUP_SCHEMA): _READ_ONLY,
    ("Group", "check_replace_attribute", PROVISIONING_GROUP_SCHEMA): _READ_ONLY,
}
_GOOD = {Status.SUCCESS, Status.COMPLIANT, Status.ACCEPTABLE}


@dataclass(frozen=True)
class Served:
    """A gateway and a token of a tenant without users."""

    gateway: GatewayProcess
    token: str


@pytest.fixture
def served(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Served]:
    """The gateway's process, as it is started in production."""
    engine = make_engine(database_url)
    with UnitOfWork(engine) as uow:
        tenant = create_tenant(uow.connection, "tenant")
        uow.commit()
    engine.dispose()
    with GatewayProcess(database_url, redis_url, tmp_path / "gateway.log") as gateway:
        yield Served(gateway, tenant.scim_token)


def _patch_and_ask(client: SanityClient, path: str, payload: dict[str, Any]) -> SCIMResponse:
    """Asks for attributes of what is patched, which makes 204 no possible answer."""
    url = f"{path}?attributes=userName,active,displayName,members,meta"
    return client._request("PATCH", url, payload)


def _sanity(served: Served) -> dict[str, dict[str, Any]]:
    """Every result of scim-sanity in its strict mode that is no pass, by the check's name."""
    report = runner.run_probe_api(served.gateway.scim_url, token=served.token, strict=True)
    assert report["summary"]["passed"] > 20, report["summary"]
    return {one["name"]: one for one in report["results"] if one["status"] != "pass"}


def test_scim_sanity(served: Served) -> None:
    """Its strict mode finds nothing but what is explained above."""
    findings = _sanity(served)
    assert set(findings) == {*SANITY_SKIPS, *SANITY_MISTAKEN}, findings
    assert all(findings[name]["status"] == "skip" for name in SANITY_SKIPS)
    assert all("got 204" in findings[name]["message"] for name in SANITY_MISTAKEN)


def test_scim_sanity_where_204_is_not_allowed(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same with `attributes` in each PATCH: no failure, no warning, nothing mistaken."""
    monkeypatch.setattr(SanityClient, "patch", _patch_and_ask)
    findings = _sanity(served)
    assert set(findings) == set(SANITY_SKIPS), findings


def test_scim2_tester(served: Served) -> None:
    """Discovery, then every operation on every attribute of what was discovered."""
    headers = {"Authorization": f"Bearer {served.token}"}
    with Client(base_url=served.gateway.scim_url, headers=headers) as http:
        results = check_server(SyncSCIMClient(http))
    findings = {_key(one): one for one in results if one.status not in _GOOD}
    assert set(findings) == set(TESTER_MISTAKEN), findings
    assert all("is set by the server" in str(one.reason) for one in findings.values())
    assert len(results) > 100


def _key(result: CheckResult) -> tuple[str | None, str | None, object]:
    data = result.data if isinstance(result.data, dict) else {}
    return result.resource_type, result.title, data.get("urn", "")
