"""Plays a scenario against a running gateway: over HTTP, with no header of its own."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from uuid import UUID, uuid4

from sqlalchemy import Engine, text

from directory.tenants import create_tenant
from directory.unit_of_work import UnitOfWork
from tests.conversations.every_answer import broken_rules
from tests.conversations.matching import differences
from tests.conversations.placeholders import at, filled
from tests.conversations.scenario import Scenario, Step

_ADD_USERS = text("""
    INSERT INTO users (tenant_id, id, external_id, user_name, user_name_key)
    SELECT :tenant_id, CAST(id AS uuid), 'ext-' || id, id || '@example.com', id || '@example.com'
    FROM unnest(CAST(:ids AS text[])) AS id
""")
_WANTED = text("""
    SELECT user_id FROM memberships
    WHERE tenant_id = :tenant_id AND group_id = :group_id AND wanted
""")
# Everything that a request of a client could change, in one value.
_STATE = text("""
    SELECT
        (SELECT json_agg(json_build_object('id', id, 'v', version, 'd', deleted_at) ORDER BY id)
            FROM users WHERE tenant_id = :tenant_id)::text,
        (SELECT json_agg(json_build_object('id', id, 'v', version, 'w', desired_version,
            'd', deleted_at) ORDER BY id)
            FROM groups WHERE tenant_id = :tenant_id)::text,
        (SELECT json_agg(json_build_object('g', group_id, 'u', user_id, 'd', desired,
            'w', wanted, 'at', CAST(ctid AS text)) ORDER BY group_id, user_id)
            FROM memberships WHERE tenant_id = :tenant_id)::text,
        (SELECT count(*) FROM timeline WHERE tenant_id = :tenant_id)
""")


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Mapping[str, str]  # names in lower case
    text: str


class Player:
    """One client's side of one scenario. AssertionError where an answer is not as written."""

    def __init__(self, base_url: str, engine: Engine, scenario: Scenario) -> None:
        address = urlsplit(base_url)
        self._connection = http.client.HTTPConnection(
            address.hostname or "", address.port, timeout=30
        )
        self._path = address.path
        self._engine = engine
        self._scenario = scenario
        with UnitOfWork(engine) as uow:
            made = create_tenant(uow.connection, f"{scenario.name} {uuid4()}")
            uow.commit()
        self._tenant_id = made.tenant_id
        self._known: dict[str, Any] = {
            "token": made.scim_token,
            "base_url": base_url,
            "random": str(uuid4()),
        }

    def play(self) -> None:
        """Every step, in order."""
        try:
            for name, count in self._scenario.users.items():
                self._known[name] = self._add_users(count)
            for number, step in enumerate(self._scenario.steps, 1):
                self._play(f"{self._scenario.name}, step {number} ({step.does})", step)
        finally:
            self._connection.close()

    def _play(self, place: str, step: Step) -> None:
        before = self._state() if step.unchanged else None
        answer = self._send(step)
        accept = {**self._scenario.headers, **step.headers}.get("Accept")
        found = broken_rules(answer.status, answer.headers, answer.text, accept)
        if answer.status != step.expect.status:
            found.append(f"status {answer.status} in place of {step.expect.status}")
        body = json.loads(answer.text) if answer.text else None
        if step.expect.empty and answer.text:
            found.append("a body")
        expected_headers = {
            name.lower(): "$absent" if value is None else filled(value, self._known)
            for name, value in step.expect.headers.items()
        }
        shown = {name: answer.headers.get(name, "$absent") for name in expected_headers}
        found += differences(expected_headers, shown, "headers")
        if step.expect.body is not None:
            found += differences(filled(step.expect.body, self._known), body)
        assert not found, f"{place}: {'; '.join(found)}\n{answer.text[:1000]}"
        for name, source in step.remember.items():
            self._known[name] = (
                answer.headers[source.removeprefix("header ").lower()]
                if source.startswith("header ")
                else at(source, body)
            )
        for group, users in step.wanted.items():
            expected = set(filled(users, self._known))
            assert self._wanted(filled(group, self._known)) == expected, f"{place}: wanted"
        if before is not None:
            assert self._state() == before, f"{place}: something was changed"

    def _send(self, step: Step) -> _Answer:
        method, _, path = step.request.partition(" ")
        target = self._path + quote(filled(path, self._known), safe="/:$")
        if step.query:
            target += "?" + urlencode(filled(dict(step.query), self._known), quote_via=quote)
        content = self._content(step)
        headers = {"Authorization": "Bearer ${token}", **self._scenario.headers}
        if content is not None:
            headers["Content-Type"] = self._scenario.content_type
        sent = {**headers, **step.headers}
        self._connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in sent.items():
            if value is not None:
                self._connection.putheader(name, filled(value, self._known))
        if content is not None:
            self._connection.putheader("Content-Length", str(len(content)))
        self._connection.endheaders(content)
        response = self._connection.getresponse()
        received = {name.lower(): value for name, value in response.getheaders()}
        return _Answer(response.status, received, response.read().decode())

    def _content(self, step: Step) -> bytes | None:
        if step.text is not None:
            return step.text.encode()
        if step.body is None:
            return None
        return json.dumps(filled(step.body, self._known)).encode()

    def _add_users(self, count: int) -> list[str]:
        """Users in the directory, without a request for each."""
        ids = [str(UUID(int=uuid4().int)) for _ in range(count)]
        with UnitOfWork(self._engine) as uow:
            uow.connection.execute(_ADD_USERS, {"tenant_id": self._tenant_id, "ids": ids})
            uow.commit()
        return ids

    def _wanted(self, group_id: str) -> set[str]:
        with UnitOfWork(self._engine) as uow:
            parameters = {"tenant_id": self._tenant_id, "group_id": group_id}
            return {str(one) for one in uow.connection.execute(_WANTED, parameters).scalars()}

    def _state(self) -> Any:
        with UnitOfWork(self._engine) as uow:
            return uow.connection.execute(_STATE, {"tenant_id": self._tenant_id}).one()
