"""A stand-in for Microsoft Graph v1.0 and Entra's token endpoint, which cannot run here.

It speaks the documented requests and answers for groups and their members: OData filters, paging by
`@odata.nextLink`, errors, 429 with `Retry-After`. State is changed by plain calls.
"""

import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

from tests.support.stand_in_server import Reply, Request, StandInServer


@dataclass
class GraphGroup:
    id: str
    name: str
    # Direct members: users, and groups within the group.
    members: dict[str, None] = field(default_factory=dict)


class GraphApi(StandInServer):
    """One tenant. Login and Graph are both at `url`."""

    def __init__(self, *, page: int = 3) -> None:
        super().__init__()
        self.tenant_id = str(uuid4())
        self.client_id = str(uuid4())
        self.client_secrets = {"a~client.secret"}
        self.page = page
        self.token_life_seconds = 3599
        # What the app registration was granted; without User.Read.All users are ids alone.
        self.permissions = {"GroupMember.Read.All", "User.Read.All"}
        # Answers 429 with this Retry-After, if set.
        self.throttled_for: int | None = None
        self.next_link_base: str | None = None
        self.groups: dict[str, GraphGroup] = {}
        # Users by object id; the value says whether the account is enabled.
        self.users: dict[str, bool] = {}
        self._tokens: dict[str, float] = {}

    # What happens in the Entra admin center

    def add_user(self, *, enabled: bool = True) -> str:
        with self.lock:
            user_id = str(uuid4())
            self.users[user_id] = enabled
            return user_id

    def add_group(self, name: str, members: Iterable[str] = ()) -> str:
        with self.lock:
            group_id = str(uuid4())
            self.groups[group_id] = GraphGroup(group_id, name, dict.fromkeys(members))
            return group_id

    def join(self, group_id: str, member_id: str) -> None:
        with self.lock:
            self.groups[group_id].members[member_id] = None

    def leave(self, group_id: str, member_id: str) -> None:
        with self.lock:
            self.groups[group_id].members.pop(member_id, None)

    def rename(self, group_id: str, name: str) -> None:
        with self.lock:
            self.groups[group_id].name = name

    def delete_group(self, group_id: str) -> None:
        with self.lock:
            del self.groups[group_id]

    def delete_user(self, user_id: str) -> None:
        with self.lock:
            del self.users[user_id]
            for group in self.groups.values():
                group.members.pop(user_id, None)

    def expire_access_tokens(self) -> None:
        with self.lock:
            self._tokens.clear()

    # What the API answers

    def reply(self, request: Request) -> Reply:
        if request.segments == (self.tenant_id, "oauth2", "v2.0", "token"):
            return self._token(request)
        if self.throttled_for is not None:
            reply = _error(429, "TooManyRequests")
            reply.headers["Retry-After"] = str(self.throttled_for)
            return reply
        return self._read(request)

    def _read(self, request: Request) -> Reply:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or self._tokens.get(token, 0) < time.time():
            return _error(401, "InvalidAuthenticationToken")
        if "GroupMember.Read.All" not in self.permissions:
            return _error(403, "Authorization_RequestDenied")
        match request.method, *request.segments:
            case "GET", "v1.0", "groups":
                return self._search(request)
            case "GET", "v1.0", "groups", group_id, *rest:
                return self._about_group(request, group_id, rest)
        return _error(400, "BadRequest")

    def _token(self, request: Request) -> Reply:
        form = request.form
        known = form.get("client_id") == self.client_id
        if not known or form.get("client_secret") not in self.client_secrets:
            return Reply(401, {"error": "invalid_client", "error_description": "AADSTS7000215"})
        if (
            form.get("grant_type") != "client_credentials"
            or form.get("scope") != f"{self.url}/.default"
        ):
            return Reply(400, {"error": "invalid_scope", "error_description": "AADSTS70011"})
        token = f"eyJ0.{secrets.token_urlsafe(32)}"
        self._tokens[token] = time.time() + self.token_life_seconds
        return Reply(
            200,
            {
                "token_type": "Bearer",
                "expires_in": self.token_life_seconds,
                "ext_expires_in": self.token_life_seconds,
                "access_token": token,
            },
        )

    def _search(self, request: Request) -> Reply:
        name = _filtered(request.query.get("$filter", ""), "displayName")
        if name is None:
            return _error(400, "Request_UnsupportedQuery")
        found = [g for g in self.groups.values() if g.name.lower() == name.lower()]
        return self._paged(request, [{"id": g.id, "displayName": g.name} for g in found])

    def _about_group(self, request: Request, group_id: str, rest: list[str]) -> Reply:
        group = self.groups.get(group_id)
        if not _is_uuid(group_id) or group is None:
            return _error(404, "Request_ResourceNotFound")
        if not rest:
            return Reply(200, {"id": group.id, "displayName": group.name})
        if rest != ["members", "microsoft.graph.user"]:
            return _error(400, "BadRequest")
        users = sorted(member for member in group.members if member in self.users)
        if "$filter" in request.query:
            advanced = request.headers.get("consistencylevel") == "eventual"
            wanted = _filtered(request.query["$filter"], "id")
            if not advanced or request.query.get("$count") != "true" or wanted is None:
                return _error(400, "Request_UnsupportedQuery")
            users = [user for user in users if user == wanted]
        return self._paged(request, [self._user(user) for user in users])

    def _user(self, user_id: str) -> dict[str, Any]:
        seen = "User.Read.All" in self.permissions
        return {"id": user_id, "accountEnabled": self.users[user_id] if seen else None}

    def _paged(self, request: Request, entries: list[dict[str, Any]]) -> Reply:
        skip = int(request.query.get("$skiptoken") or 0)
        size = min(self.page, int(request.query.get("$top") or self.page))
        document: dict[str, Any] = {
            "@odata.context": f"{self.url}/v1.0/$metadata",
            "value": entries[skip : skip + size],
        }
        if len(entries) > skip + size:
            query = {**request.query, "$skiptoken": str(skip + size)}
            text = "&".join(f"{name}={quote(value)}" for name, value in query.items())
            base = self.next_link_base or self.url
            document["@odata.nextLink"] = f"{base}{request.path}?{text}"
        return Reply(200, document)


def _filtered(expression: str, field_name: str) -> str | None:
    """The string of `field eq '…'`, in which a quote is doubled; None if malformed."""
    match = re.fullmatch(rf"{field_name} eq '((?:[^']|'')*)'", expression, re.DOTALL)
    return match.group(1).replace("''", "'") if match else None


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _error(status: int, code: str) -> Reply:
    inner = {"request-id": str(uuid4()), "date": "2026-01-01T00:00:00"}
    return Reply(status, {"error": {"code": code, "message": "…", "innerError": inner}})
