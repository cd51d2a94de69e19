"""One identity provider: a kept connection, bodies made beforehand, a clock around each call."""

import http.client
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

USER_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


class UnexpectedAnswerError(Exception):
    """A server did not do what was asked of it: its times would mean nothing."""


@dataclass(frozen=True)
class Answered:
    """An answer that was read to its end, and the seconds from the request's first byte on."""

    status: int
    body: bytes
    seconds: float

    def json(self) -> Any:
        """The body; None where there is none."""
        return json.loads(self.body) if self.body else None


class Client:
    """Sends to one server, one request at a time."""

    def __init__(self, name: str, port: int, root: str, token: str) -> None:
        self._name = name
        self._root = root
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/scim+json",
            "User-Agent": "Okta SCIM Client 1.0.0",
        }

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()

    def renew(self) -> None:
        """Opens the connection anew, outside the clock: servers close idle ones."""
        self._connection.close()
        self.send("GET", "/ServiceProviderConfig")

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Answered:
        """Any request below the SCIM root."""
        url = f"{self._root}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = self._headers
        if body is not None:
            headers = {**headers, "Content-Type": "application/scim+json"}
        begin = time.perf_counter()
        self._connection.request(method, url, body, headers)
        response = self._connection.getresponse()
        content = response.read()
        return Answered(response.status, content, time.perf_counter() - begin)

    def expect(
        self,
        statuses: Iterable[int],
        method: str,
        path: str,
        body: bytes | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Answered:
        """A request that must succeed with one of these statuses; raises UnexpectedAnswerError."""
        answered = self.send(method, path, body, query)
        if answered.status not in statuses:
            raise UnexpectedAnswerError(
                f"{self._name} answered {method} {path} with {answered.status}: "
                f"{answered.body[:500]!r}"
            )
        return answered

    def demand(self, holds: bool, what: str) -> None:
        """Raises UnexpectedAnswerError if what was read back is not what was written."""
        if not holds:
            raise UnexpectedAnswerError(f"{self._name}: {what}")


def user_body(user_name: str) -> bytes:
    """What Okta sends of a new user."""
    local = user_name.partition("@")[0]
    return json.dumps(
        {
            "schemas": [USER_SCHEMA],
            "userName": user_name,
            "name": {"givenName": "Ada", "familyName": local},
            "emails": [{"primary": True, "value": user_name, "type": "work"}],
            "displayName": f"Ada {local}",
            "externalId": f"external-{local}",
            "active": True,
        }
    ).encode()


def group_body(name: str, members: list[str], group_id: str | None = None) -> bytes:
    """A whole group, for POST and PUT."""
    group: dict[str, Any] = {
        "schemas": [GROUP_SCHEMA],
        "displayName": name,
        "members": [{"value": member} for member in members],
    }
    return json.dumps(group if group_id is None else {**group, "id": group_id}).encode()


def add_body(member: str) -> bytes:
    """PATCH that adds one member."""
    return _patch_body({"op": "add", "path": "members", "value": [{"value": member}]})


def remove_body(member: str) -> bytes:
    """PATCH that removes one member, as Okta says it."""
    return _patch_body({"op": "remove", "path": f'members[value eq "{member}"]'})


def _patch_body(operation: dict[str, Any]) -> bytes:
    return json.dumps({"schemas": [PATCH_SCHEMA], "Operations": [operation]}).encode()
