"""Many identity providers' workers at one group at the same time, through several processes."""

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from directory.database import make_engine
from directory.tenants import NewTenant, create_tenant
from directory.unit_of_work import UnitOfWork
from tests.support.gateway_process import GatewayProcess

_PROCESSES, _CLIENTS, _MEMBERS_EACH = 4, 32, 200
_INSERT_USERS = text("""
    INSERT INTO users (tenant_id, id, user_name, user_name_key, emails, attributes)
    SELECT :tenant_id, id, id::text, id::text, '[]', '{}' FROM unnest(CAST(:ids AS uuid[])) AS id
""")
_ROSTER = text("""
    SELECT user_id::text AS id FROM memberships WHERE tenant_id = :tenant_id AND desired AND wanted
""")


@dataclass(frozen=True)
class Contended:
    """A tenant's database with users, and the processes in front of it."""

    tenant: NewTenant
    database_url: str
    users: list[str]
    gateways: list[GatewayProcess]

    def roster(self) -> set[str]:
        """Who is to be in the only group, as the database has it."""
        engine = make_engine(self.database_url)
        with UnitOfWork(engine) as uow:
            rows = uow.connection.execute(_ROSTER, {"tenant_id": self.tenant.tenant_id})
            found = [str(row.id) for row in rows]
        engine.dispose()
        assert len(found) == len(set(found))
        return set(found)


@pytest.fixture
def contended(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Contended]:
    """Four gateway processes; the rate limit, which this is not about, is out of the way."""
    users = [str(uuid4()) for _ in range(_CLIENTS * _MEMBERS_EACH)]
    engine = make_engine(database_url)
    with UnitOfWork(engine) as uow:
        tenant = create_tenant(uow.connection, "tenant")
        parameters = {"tenant_id": tenant.tenant_id, "ids": [UUID(user) for user in users]}
        uow.connection.execute(_INSERT_USERS, parameters)
        uow.commit()
    engine.dispose()
    with ExitStack() as stack:
        gateways = [
            stack.enter_context(
                GatewayProcess(
                    database_url,
                    redis_url,
                    tmp_path / f"gateway-{number}.log",
                    gateway_rate_per_second="0",
                )
            )
            for number in range(_PROCESSES)
        ]
        yield Contended(tenant, database_url, users, gateways)


class _Client:
    """One worker with a connection of its own; keeps each answer's status and version."""

    def __init__(self, gateway: GatewayProcess, token: str, group_id: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
        self._path = f"/scim/v2/Groups/{group_id}"
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/scim+json",
        }
        self.answers: list[tuple[int, str | None]] = []

    def add(self, member: str) -> None:
        """PATCH that adds one member."""
        self._patch({"op": "add", "path": "members", "value": [{"value": member}]})

    def remove(self, member: str) -> None:
        """PATCH that removes one member."""
        self._patch({"op": "remove", "path": f'members[value eq "{member}"]'})

    def _patch(self, operation: dict[str, object]) -> None:
        schemas = ["urn:ietf:params:scim:api:messages:2.0:PatchOp"]
        body = json.dumps({"schemas": schemas, "Operations": [operation]})
        self._connection.request("PATCH", self._path, body, self._headers)
        response = self._connection.getresponse()
        response.read()
        self.answers.append((response.status, response.headers["ETag"]))

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_change_is_lost_or_counted_twice(contended: Contended) -> None:
    """32 clients add and remove 200 members each; every other one removes first, then adds.

    The roster is exactly that of those who added last, every answer is a success, and the versions
    that were answered are all those from the group's first to its last, each once.
    """
    shares = [contended.users[number::_CLIENTS] for number in range(_CLIENTS)]
    remaining = {user for share in shares[1::2] for user in share}
    first, token = contended.gateways[0], contended.tenant.scim_token
    body = {"displayName": "Everybody", "members": [{"value": user} for user in remaining]}
    status, answer = first.request("POST", "/scim/v2/Groups", body, token)
    assert status == 201, answer
    group = json.loads(answer)
    clients = [
        _Client(contended.gateways[number % _PROCESSES], token, group["id"])
        for number in range(_CLIENTS)
    ]

    def work(number: int) -> None:
        client, share = clients[number], shares[number]
        steps = (client.add, client.remove) if number % 2 == 0 else (client.remove, client.add)
        for step in steps:
            for user in share:
                step(user)

    with ThreadPoolExecutor(_CLIENTS) as pool:
        list(pool.map(work, range(_CLIENTS)))
    answers = [answer for client in clients for answer in client.answers]
    for client in clients:
        client.close()
    assert {status for status, _ in answers} <= {200, 204}
    assert contended.roster() == remaining
    begin = _number(group["meta"]["version"])
    versions = sorted(_number(version) for _, version in answers)
    assert versions == list(range(begin + 1, begin + 1 + _CLIENTS * _MEMBERS_EACH * 2))
    _, answer = contended.gateways[-1].request("GET", f"/scim/v2/Groups/{group['id']}", None, token)
    shown = json.loads(answer)
    assert {member["value"] for member in shown["members"]} == remaining
    assert _number(shown["meta"]["version"]) == versions[-1]


def _number(etag: str | None) -> int:
    """The version in an ETag."""
    assert etag is not None
    return int(etag.removeprefix("W/").strip('"'))
