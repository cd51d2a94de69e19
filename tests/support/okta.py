"""Okta as a SCIM client, in its two dialects, repeating what was not answered.

A stand-in for the real one, which cannot run here; the wire protocol is real.
"""

from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.waiting import wait_for

_USER = "urn:ietf:params:scim:schemas:core:2.0:User"
_GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
_PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


@dataclass
class Okta:
    """One Okta application. Every call returns only when the push was acknowledged."""

    base_url: str
    token: str
    patience: float = 60.0
    # Pushes that had to be repeated, by the kind of failure.
    repeated: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._http = httpx.Client(
            headers={
                "Authorization": f"Bearer {self.token}",
                "User-Agent": "Okta SCIM Client 1.0.0",
                "Accept": "application/scim+json",
                "Accept-Charset": "utf-8",
            },
            timeout=20.0,
        )

    def close(self) -> None:
        self._http.close()

    def request(
        self, method: str, path: str, body: dict[str, Any] | None = None, **query: str
    ) -> httpx.Response:
        """Send until there is an answer that is neither a fault nor `try later`."""

        def answered() -> httpx.Response | None:
            try:
                response = self._http.request(
                    method,
                    self.base_url + path,
                    json=body,
                    params=query or None,
                    headers={"Content-Type": "application/scim+json; charset=utf-8"},
                )
            except httpx.TransportError as error:
                self._count(type(error).__name__)
                return None
            if response.status_code >= 500 or response.status_code == 429:
                self._count(str(response.status_code))
                return None
            return response

        return wait_for(answered, self.patience, f"an answer to {method} {path}")

    def _count(self, what: str) -> None:
        self.repeated[what] = self.repeated.get(what, 0) + 1

    def create_user(self, user_name: str, external_id: str | None = None) -> str:
        """Look the user up, create it if it is not there; return its id.

        `external_id` is the user's id at Okta.
        """
        found = self.request("GET", "/Users", filter=f'userName eq "{user_name}"').json()
        if found["totalResults"]:
            return str(found["Resources"][0]["id"])
        given, _, family = user_name.partition("@")[0].partition(".")
        response = self.request(
            "POST",
            "/Users",
            {
                "schemas": [_USER],
                "userName": user_name,
                "name": {"givenName": given, "familyName": family or "Member"},
                "emails": [{"primary": True, "value": user_name, "type": "work"}],
                "displayName": given,
                "externalId": external_id or f"00u-{user_name}",
                "groups": [],
                "password": "not-used",
                "active": True,
            },
        )
        if response.status_code == 409:  # stored, but the answer was lost
            return self.create_user(user_name, external_id)
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    def set_active(self, user: str, active: bool) -> None:
        body = {
            "schemas": [_PATCH],
            "Operations": [{"op": "replace", "value": {"active": active}}],
        }
        response = self.request("PATCH", f"/Users/{user}", body)
        assert response.status_code == 200, response.text

    def create_group(self, name: str, members: list[str]) -> str:
        found = self.request("GET", "/Groups", filter=f'displayName eq "{name}"').json()
        if found["totalResults"]:
            return str(found["Resources"][0]["id"])
        response = self.request(
            "POST", "/Groups", {"schemas": [_GROUP], "displayName": name, "members": _refs(members)}
        )
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    def put_group(self, group: str, name: str, members: list[str]) -> None:
        """The wizard's dialect: the whole group."""
        body = {"schemas": [_GROUP], "id": group, "displayName": name, "members": _refs(members)}
        response = self.request("PUT", f"/Groups/{group}", body)
        assert response.status_code == 200, response.text

    def patch_group(
        self, group: str, name: str, add: list[str] | None = None, remove: list[str] | None = None
    ) -> None:
        """The catalogue's dialect: a rename that changes nothing, removals and additions."""
        operations: list[dict[str, Any]] = [
            {"op": "replace", "value": {"id": group, "displayName": name}}
        ]
        operations += [
            {"op": "remove", "path": f'members[value eq "{member}"]'} for member in remove or []
        ]
        if add:
            operations.append({"op": "add", "path": "members", "value": _refs(add)})
        body = {"schemas": [_PATCH], "Operations": operations}
        response = self.request("PATCH", f"/Groups/{group}", body)
        assert response.status_code in {200, 204}, response.text

    def replace_members(self, group: str, members: list[str]) -> None:
        """The catalogue's full push."""
        operation = {"op": "replace", "path": "members", "value": _refs(members)}
        body = {"schemas": [_PATCH], "Operations": [operation]}
        response = self.request("PATCH", f"/Groups/{group}", body)
        assert response.status_code in {200, 204}, response.text

    def delete_group(self, group: str) -> None:
        response = self.request("DELETE", f"/Groups/{group}")
        assert response.status_code in {204, 404}, response.text


def _refs(members: list[str]) -> list[dict[str, str]]:
    return [{"value": member, "display": f"member {member[:8]}"} for member in members]
