"""A SCIM client in the test's process: real requests to the application, real database."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import Flask
from sqlalchemy import text

from directory.tenants import create_tenant
from directory.unit_of_work import UnitOfWork
from scim_gateway.wiring import Wiring

_USER = "urn:ietf:params:scim:schemas:core:2.0:User"
_GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
_PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


@dataclass(frozen=True)
class Answer:
    """What came back; `json` is None where the body is empty."""

    status_code: int
    headers: Mapping[str, str]
    text: str
    json: Any


class ScimClient:
    """Sends what an identity provider sends, with one tenant's token."""

    def __init__(self, app: Flask, wiring: Wiring, tenant_id: UUID, token: str) -> None:
        self._app = app
        self.wiring = wiring
        self.tenant_id = tenant_id
        self.token = token

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: dict[str, str] | None = None,
        **query: str,
    ) -> Answer:
        """Any request below /scim/v2."""
        response = self._app.test_client().open(
            f"/scim/v2{path}",
            method=method,
            json=body,
            query_string=query,
            headers={
                "Authorization": f"Bearer {self.token}",
                "Accept": "application/scim+json",
                "User-Agent": "Okta SCIM Client 1.0.0",
                **({"Content-Type": "application/scim+json; charset=utf-8"} if body else {}),
                **(headers or {}),
            },
        )
        content = response.get_json() if response.data else None
        return Answer(response.status_code, dict(response.headers), response.text, content)

    def create_user(self, user_name: str, **attributes: object) -> str:
        """Creates a user; returns the id."""
        response = self.send(
            "POST", "/Users", {"schemas": [_USER], "userName": user_name, **attributes}
        )
        assert response.status_code == 201, response.text
        return str(response.json["id"])

    def create_users(self, count: int, prefix: str = "user") -> list[str]:
        """Creates users; returns their ids."""
        return [self.create_user(f"{prefix}{number}@example.com") for number in range(count)]

    def create_group(self, name: str, members: list[str] | None = None) -> str:
        """Creates a group; returns the id."""
        body = {"schemas": [_GROUP], "displayName": name, "members": values(members or [])}
        response = self.send("POST", "/Groups", body)
        assert response.status_code == 201, response.text
        return str(response.json["id"])

    def patch(self, path: str, *operations: dict[str, Any], **headers: str) -> Answer:
        """PATCH with these operations."""
        body = {"schemas": [_PATCH], "Operations": list(operations)}
        return self.send("PATCH", path, body, headers=headers)

    def put_group(self, group_id: str, name: str, members: list[str]) -> Answer:
        """PUT with the whole group, as the wizard's applications send it."""
        body = {
            "schemas": [_GROUP],
            "id": group_id,
            "displayName": name,
            "members": values(members),
        }
        return self.send("PUT", f"/Groups/{group_id}", body)

    def members(self, group_id: str) -> set[str]:
        """The ids of a group's members, as SCIM shows them."""
        response = self.send("GET", f"/Groups/{group_id}")
        assert response.status_code == 200, response.text
        return {member["value"] for member in response.json["members"]}

    def wanted(self, group_id: str) -> set[str]:
        """The ids of those whom the service shall have on the group's roster."""
        rows = self.rows(
            "SELECT user_id FROM memberships WHERE group_id = :id AND wanted", id=group_id
        )
        return {str(row.user_id) for row in rows}

    def rows(self, statement: str, **parameters: object) -> list[Any]:
        """Rows of the database."""
        with UnitOfWork(self.wiring.engine) as uow:
            return list(uow.connection.execute(text(statement), parameters))

    def execute(self, statement: str, **parameters: object) -> None:
        """Changes the database, as no request could."""
        with UnitOfWork(self.wiring.engine) as uow:
            uow.connection.execute(text(statement), parameters)
            uow.commit()


def values(ids: list[str]) -> list[dict[str, str]]:
    """Member objects as identity providers send them."""
    return [{"value": one} for one in ids]


def new_tenant(app: Flask, wiring: Wiring, name: str) -> ScimClient:
    """Creates a tenant; returns a client with its token."""
    with UnitOfWork(wiring.engine) as uow:
        made = create_tenant(uow.connection, name)
        uow.commit()
    return ScimClient(app, wiring, made.tenant_id, made.scim_token)
