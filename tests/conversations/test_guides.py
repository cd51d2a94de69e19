"""The guides for administrators: their commands run as they are written, their texts are ours."""

import re
import subprocess
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import Engine

from directory.tenants import create_tenant
from directory.unit_of_work import UnitOfWork
from embedded.child_process import environment_with

_DOCS = Path(__file__).parents[2] / "docs"
_GUIDES = ("okta.md", "entra.md")
_CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_REFUSAL = re.compile(r"^\| (?P<status>4\d\d|5\d\d) \| `(?P<text>.+?)` \| .+ \|$", re.MULTILINE)


def _commands(guide: str) -> tuple[str, str]:
    """Every console block of a guide as one script, and what it must print."""
    lines = [
        one for block in _CONSOLE.findall((_DOCS / guide).read_text()) for one in block.split("\n")
    ]
    script = [line[2:] for line in lines if line.startswith("$ ")]
    printed = [line for line in lines if line and not line.startswith("$ ")]
    return "\n".join(script), "\n".join(printed)


@pytest.mark.tools  # bash and curl
@pytest.mark.parametrize("guide", _GUIDES)
def test_the_commands_of_a_guide_do_what_it_says(
    guide: str, base_url: str, engine: Engine, tmp_path: Path
) -> None:
    """In order, in one shell, on a new tenant: the output is the one that is printed there."""
    with UnitOfWork(engine) as uow:
        token = create_tenant(uow.connection, f"guide {guide}").scim_token
        uow.commit()
    script, printed = _commands(guide)
    result = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment_with(BASE=base_url, TOKEN=token),
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.stdout.strip() == printed, result.stderr


@pytest.fixture(scope="module")
def refusals(base_url: str, engine: Engine) -> list[tuple[str, str]]:
    """Status and detail of every refusal that an administrator can bring about."""
    with UnitOfWork(engine) as uow:
        token = create_tenant(uow.connection, "refusals").scim_token
        uow.commit()
    ada = {"userName": "ada@example.com", "externalId": "00u1"}
    nobody = uuid4()
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}) as client:
        client.post(f"{base_url}/Users", json=ada)
        client.post(f"{base_url}/Groups", json={"displayName": "Finance"})
        answers = [
            client.get(f"{base_url}/Users", headers={"Authorization": "Bearer wrong"}),
            client.get(f"{base_url}/Users", headers={"Authorization": token}),
            client.get(base_url.removesuffix("/scim/v2") + "/Users"),
            client.get(f"{base_url}/Users/{nobody}"),
            client.get(f"{base_url}/Groups/{nobody}"),
            client.post(f"{base_url}/Users", json=ada | {"externalId": "00u2"}),
            client.post(f"{base_url}/Users", json=ada | {"userName": "grace@example.com"}),
            client.post(f"{base_url}/Groups", json={"displayName": "Finance"}),
            client.post(f"{base_url}/Users", json={"externalId": "00u2"}),
            client.get(f"{base_url}/Users", params={"filter": 'shoeSize eq "9"'}),
        ]
    return [(str(one.status_code), one.json()["detail"]) for one in answers]


# Not to be had by a request alone; tests of the gateway's limits and faults bring them about.
_OTHERS = {"429", "503"}


@pytest.mark.parametrize("guide", _GUIDES)
def test_the_refusals_in_a_guide_are_the_gateways(
    guide: str, refusals: list[tuple[str, str]]
) -> None:
    """Each text is what a request brings about, with an ellipsis for what differs."""
    rows = _REFUSAL.findall((_DOCS / guide).read_text())
    assert len(rows) >= 10
    for status, text in rows:
        pattern = ".*".join(re.escape(part) for part in text.split("…"))
        matches = [1 for given, detail in refusals if given == status and re.match(pattern, detail)]
        assert matches or status in _OTHERS, (status, text)
