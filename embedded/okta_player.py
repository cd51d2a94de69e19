"""Plays Okta's requests over HTTP, in both of its dialects, and keeps every answer.

Okta speaks one of two dialects, fixed by the kind of app. An app built in the App Integration
Wizard with SCIM provisioning pushes whole users and groups with PUT; an app of the catalogue
patches. Header fields, order of requests and bodies are those of its documentation and of
recorded traffic.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

from embedded.errors import EmbeddedError

_USER = "urn:ietf:params:scim:schemas:core:2.0:User"
_GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
_PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
_MEDIA_TYPE = "application/scim+json"
_SECONDS = 20.0

_Resource = dict[str, Any]
_Query = Mapping[str, str | int]
_FIRST_PAGE: _Query = {"startIndex": 1, "count": 100}


class PushFailedError(EmbeddedError):
    """The SCIM server did not answer as Okta needs it; the text quotes the answer."""


@dataclass(frozen=True)
class Person:
    """A user as the identity provider knows it, and the id that the SCIM server gave."""

    id: str
    user_name: str
    external_id: str
    given_name: str


@dataclass(frozen=True)
class PushedGroup:
    """A group and the id that the SCIM server gave."""

    id: str
    name: str


class OktaPlayer:
    """One Okta app. `base_url` ends in /scim/v2.

    A method returns once its push was acknowledged and raises PushFailedError if it was refused.
    `answers` holds status, header and body of each answer, in order.
    """

    def __init__(self, base_url: str, token: str) -> None:
        self.answers: list[bytes] = []
        self._base_url = base_url
        self._http = httpx.Client(
            timeout=_SECONDS,
            trust_env=False,  # the server is on this machine: no proxy
            headers={
                "Authorization": f"Bearer {token}",
                "User-Agent": "Okta SCIM Client 1.0.0",
                "Accept": _MEDIA_TYPE,
                "Accept-Charset": "utf-8",
            },
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.close()

    def test_connection(self) -> None:
        """Do what the button Test Connection Configuration does."""
        for path, count in (("/Users", 2), ("/Groups", 100)):
            listing = self._ask("GET", path, {200}, query={"startIndex": 1, "count": count})
            for name in ("totalResults", "itemsPerPage", "startIndex"):
                if type(listing.get(name)) is not int:
                    raise PushFailedError(f"GET {path} answered without a numeric {name}.")

    def push_user(self, user_name: str) -> Person:
        """Look a user up by name and create it if there is none."""
        given_name = user_name.partition("@")[0].capitalize()
        body = {
            "schemas": [_USER],
            "userName": user_name,
            "name": {"givenName": given_name, "familyName": "Example"},
            "emails": [{"primary": True, "value": user_name, "type": "work"}],
            "displayName": f"{given_name} Example",
            "locale": "en-US",
            "externalId": f"00u{given_name.lower():0<17}",
            "groups": [],
            "active": True,
        }
        found = self._find("/Users", "userName", user_name)
        resource = found or self._ask("POST", "/Users", {201}, body)
        return Person(resource["id"], user_name, str(body["externalId"]), given_name)

    def put_group(self, name: str, members: Sequence[Person]) -> PushedGroup:
        """Push a whole group as an app of the wizard does; an unknown one is created first."""
        body = {"schemas": [_GROUP], "displayName": name, "members": _references(members)}
        found = self._find("/Groups", "displayName", name)
        group = found or self._ask("POST", "/Groups", {201}, body)
        path = f"/Groups/{group['id']}"
        self._ask("GET", path, {200})
        self._ask("PUT", path, {200}, {**body, "id": group["id"]})
        return PushedGroup(group["id"], name)

    def create_group(self, name: str) -> PushedGroup:
        """Create an empty group as an app of the catalogue does, to be filled by patches."""
        found = self._find("/Groups", "displayName", name)
        empty = {"schemas": [_GROUP], "displayName": name, "members": []}
        group = found or self._ask("POST", "/Groups", {201}, empty)
        return PushedGroup(group["id"], name)

    def patch_group(
        self, group: PushedGroup, *, add: Sequence[Person] = (), remove: Sequence[Person] = ()
    ) -> None:
        """Change a group's members as an app of the catalogue does.

        A rename that changes nothing comes with every such request.
        """
        rename = {"op": "replace", "value": {"id": group.id, "displayName": group.name}}
        operations: list[_Resource] = [rename]
        operations += [
            {"op": "remove", "path": f'members[value eq "{person.id}"]'} for person in remove
        ]
        if add:
            operations.append({"op": "add", "path": "members", "value": _references(add)})
        body = {"schemas": [_PATCH_OP], "Operations": operations}
        self._ask("PATCH", f"/Groups/{group.id}", {200, 204}, body)

    def deactivate(self, person: Person) -> None:
        """Deactivate a user as an app of the catalogue does."""
        operations = [{"op": "replace", "value": {"active": False}}]
        body = {"schemas": [_PATCH_OP], "Operations": operations}
        answer = self._ask("PATCH", f"/Users/{person.id}", {200}, body)
        if answer.get("active") is not False:
            raise PushFailedError(f"{person.user_name} is still active after the deactivation.")

    def _find(self, path: str, attribute: str, value: str) -> _Resource | None:
        query = {"filter": f'{attribute} eq "{value}"', **_FIRST_PAGE}
        resources: list[_Resource] = self._ask("GET", path, {200}, query=query)["Resources"]
        return resources[0] if resources else None

    def _ask(
        self,
        method: str,
        path: str,
        expected: set[int],
        body: _Resource | None = None,
        query: _Query | None = None,
    ) -> _Resource:
        """Send one request; return the answer's JSON object, empty if it has no content."""
        try:
            answer = self._http.request(
                method,
                self._base_url + path,
                params=query,
                content=None if body is None else json.dumps(body),
                headers={"Content-Type": f"{_MEDIA_TYPE}; charset=utf-8"} if body else None,
            )
        except httpx.HTTPError as error:
            raise PushFailedError(f"{method} {path} got no answer: {error}") from error
        self.answers.append(_recorded(answer))
        if answer.status_code not in expected:
            raise PushFailedError(
                f"{method} {path} was answered with {answer.status_code}: {answer.text[:500]}"
            )
        content: _Resource = answer.json() if answer.content else {}
        return content


def _references(people: Sequence[Person]) -> list[dict[str, str]]:
    return [{"value": person.id, "display": person.user_name} for person in people]


def _recorded(answer: httpx.Response) -> bytes:
    header = b"\r\n".join(name + b": " + value for name, value in answer.headers.raw)
    return b"%d\r\n%s\r\n\r\n%s" % (answer.status_code, header, answer.content)
