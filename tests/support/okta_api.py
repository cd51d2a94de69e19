"""A stand-in for the Okta API, which cannot run here: groups, users, tokens, pages, limits, errors.

It speaks the documented requests and answers of the management API (Groups, Users) and of the org
authorisation server's token endpoint, over real HTTP. Its state is changed by plain calls. Every
request is authenticated, limits count per kind of endpoint and minute, and pages are small, so that
paging happens.
"""

import secrets
import time
from collections.abc import Iterable
from email.utils import formatdate
from typing import Any
from urllib.parse import quote

import jwt
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from tests.support.okta_documents import (
    OktaGroup,
    OktaUser,
    error,
    group_document,
    searched_name,
    user_document,
)
from tests.support.stand_in_server import Reply, Request, StandInServer

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class OktaApi(StandInServer):
    """One Okta organisation. `with OktaApi() as okta: … okta.url …`"""

    def __init__(self, *, api_token: str = "00-an-api-token", page: int = 3) -> None:
        super().__init__()
        # Tokens that are accepted as `SSWS`; change it to revoke one.
        self.api_tokens = {api_token}
        self.api_token = api_token
        self.page = page
        # Requests per minute and kind of endpoint; None: no limit and no headers.
        self.limit: int | None = 600
        self.window_seconds = 60
        # How far Okta's clock is ahead of this machine's.
        self.clock_ahead_seconds = 0
        self.scopes_granted = {"okta.groups.read", "okta.users.read"}
        self.token_life_seconds = 3600
        self.requires_dpop = False
        # What the token endpoint answers instead of a token.
        self.token_answer: object = None
        # Adds a hostile target to links to a next page.
        self.next_link_base: str | None = None
        # What the credential may see; None: everything.
        self.visible_groups: set[str] | None = None
        # What it may not even ask about: 403.
        self.forbidden_groups: set[str] = set()
        self.groups: dict[str, OktaGroup] = {}
        self.users: dict[str, OktaUser] = {}
        self._clients: dict[str, PublicKeyTypes] = {}
        self._access_tokens: dict[str, tuple[float, set[str]]] = {}
        self._assertion_ids: set[str] = set()
        self._windows: dict[str, tuple[float, int]] = {}

    # What happens in the Okta admin console

    def add_client(self, client_id: str, public_key: PublicKeyTypes) -> None:
        """An API services app with this public key."""
        with self.lock:
            self._clients[client_id] = public_key

    def add_user(self, user_id: str | None = None, *, status: str = "ACTIVE") -> str:
        with self.lock:
            user_id = user_id or f"00u{secrets.token_hex(8)}"
            self.users[user_id] = OktaUser(user_id, f"{user_id}@example.com", status)
            return user_id

    def add_group(
        self, name: str, members: Iterable[str] = (), *, group_id: str | None = None
    ) -> str:
        """Its id. Members who are unknown become users."""
        with self.lock:
            group_id = group_id or f"00g{secrets.token_hex(8)}"
            self.groups[group_id] = OktaGroup(group_id, name, {})
            for member in members:
                self.join(group_id, member)
            return group_id

    def join(self, group_id: str, user_id: str) -> None:
        with self.lock:
            if user_id not in self.users:
                self.add_user(user_id)
            self.groups[group_id].members[user_id] = None

    def leave(self, group_id: str, user_id: str) -> None:
        with self.lock:
            self.groups[group_id].members.pop(user_id, None)

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

    def set_status(self, user_id: str, status: str) -> None:
        """`DEPROVISIONED` and `SUSPENDED` users stay in their groups, as at Okta."""
        with self.lock:
            self.users[user_id].status = status

    def use_up_limits(self) -> None:
        """Others have used up what this minute allows, at every endpoint."""
        with self.lock:
            now = time.time()
            for kind in ("groups", "group", "users", "user", "token"):
                self._windows[kind] = (now, 10**9)

    def refill_limits(self) -> None:
        with self.lock:
            self._windows.clear()

    def expire_access_tokens(self) -> None:
        with self.lock:
            self._access_tokens.clear()

    # What the API answers

    def reply(self, request: Request) -> Reply:
        kind = _kind(request.segments)
        headers, allowed = self._count(kind)
        reply = self._answer(kind, request) if allowed else error("E0000047")
        reply.headers.update(headers)
        return reply

    def _answer(self, kind: str, request: Request) -> Reply:
        if kind == "token":
            return self._token(request)
        scopes = self._scopes(request.headers.get("authorization", ""))
        if scopes is None:
            return error("E0000011")
        needed = "okta.users.read" if kind == "user" else "okta.groups.read"
        if needed not in scopes:
            return error("E0000006")
        return self._read(request)

    def _read(self, request: Request) -> Reply:
        match request.method, *request.segments:
            case "GET", "api", "v1", "groups":
                return self._search(request)
            case "GET", "api", "v1", "groups", group_id, *rest:
                if group_id in self.forbidden_groups:
                    return error("E0000006")
                return self._about_group(request, self._visible(group_id), rest)
            case "GET", "api", "v1", "users", name, *rest:
                return self._about_user(request, self._user(name), rest)
        return error("E0000008")

    def _about_group(self, request: Request, group: OktaGroup | None, rest: list[str]) -> Reply:
        if group is None:
            return error("E0000007")
        if rest == ["users"]:
            users = [user_document(self.users[u]) for u in group.members if u in self.users]
            return self._paged(request, users)
        return error("E0000008") if rest else Reply(200, group_document(group))

    def _about_user(self, request: Request, user: OktaUser | None, rest: list[str]) -> Reply:
        if user is None:
            return error("E0000007")
        if rest == ["groups"]:
            groups = [g for g in self.groups.values() if user.id in g.members]
            return self._paged(request, [group_document(g) for g in groups if self._visible(g.id)])
        return error("E0000008") if rest else Reply(200, user_document(user))

    def _visible(self, group_id: str) -> OktaGroup | None:
        hidden = self.visible_groups is not None and group_id not in self.visible_groups
        return None if hidden else self.groups.get(group_id)

    def _user(self, name: str) -> OktaUser | None:
        """By id, login, or the part of a login before the @; and `me`, the token's own user."""
        for user in self.users.values():
            if name in {user.id, user.login, user.login.split("@")[0]}:
                return user
        return OktaUser("00u-the-admin", "admin@example.com") if name == "me" else None

    def _search(self, request: Request) -> Reply:
        """`search=profile.name eq "…"` (without regard to case) and `q=` (starts with)."""
        groups = [g for g in self.groups.values() if self._visible(g.id)]
        if "search" in request.query:
            name = searched_name(request.query["search"])
            if name is None:
                return error("E0000031")
            groups = [g for g in groups if g.name.lower() == name.lower()]
        elif "q" in request.query:
            start = request.query["q"].lower()
            groups = [g for g in groups if g.name.lower().startswith(start)]
        return self._paged(request, [group_document(group) for group in groups])

    def _paged(self, request: Request, entries: list[dict[str, Any]]) -> Reply:
        """`limit` and `after`, an opaque cursor: here the last id; entries ordered by id."""
        entries = sorted(entries, key=lambda entry: str(entry["id"]))
        after = request.query.get("after", "")
        left = [entry for entry in entries if str(entry["id"]) > after]
        size = min(self.page, int(request.query.get("limit") or self.page))
        shown = left[:size]
        links = [f'<{self.url}{request.path}>; rel="self"']
        if len(left) > size:
            query = {**request.query, "after": str(shown[-1]["id"]), "limit": str(size)}
            text = "&".join(f"{name}={quote(value)}" for name, value in query.items())
            base = self.next_link_base or self.url
            links.append(f'<{base}{request.path}?{text}>; rel="next"')
        return Reply(200, shown, {"Link": ", ".join(links)})

    def _scopes(self, authorization: str) -> set[str] | None:
        scheme, _, token = authorization.partition(" ")
        if scheme == "SSWS" and token in self.api_tokens:
            return {"okta.groups.read", "okta.users.read"}
        if scheme == "Bearer" and token in self._access_tokens:
            expires, scopes = self._access_tokens[token]
            return scopes if time.time() < expires else None
        return None

    def _token(self, request: Request) -> Reply:
        form = request.form
        if request.method != "POST" or form.get("grant_type") != "client_credentials":
            return Reply(400, {"error": "unsupported_grant_type"})
        if not self._proves_client(form):
            return Reply(401, {"error": "invalid_client", "error_description": "not this key"})
        if self.requires_dpop:
            return Reply(400, {"error": "invalid_dpop_proof", "error_description": "missing"})
        if self.token_answer is not None:
            return Reply(200, self.token_answer)
        scopes = set(form.get("scope", "").split())
        if not scopes or not scopes <= self.scopes_granted:
            return Reply(400, {"error": "invalid_scope", "error_description": "not granted"})
        token = f"eyJ.{secrets.token_urlsafe(32)}"
        self._access_tokens[token] = (time.time() + self.token_life_seconds, scopes)
        return Reply(
            200,
            {
                "token_type": "Bearer",
                "expires_in": self.token_life_seconds,
                "access_token": token,
                "scope": " ".join(sorted(scopes)),
            },
        )

    def _proves_client(self, form: dict[str, str]) -> bool:
        """Whether the assertion is signed by the client's key, for this endpoint, and new."""
        if form.get("client_assertion_type") != _ASSERTION_TYPE:
            return False
        assertion = form.get("client_assertion", "")
        try:
            issuer = jwt.decode(assertion, options={"verify_signature": False}).get("iss", "")
            claims = jwt.decode(
                assertion,
                self._clients[issuer],  # type: ignore[arg-type] # whatever kind the test registered
                algorithms=["RS256", "ES256"],
                audience=f"{self.url}/oauth2/v1/token",
                issuer=issuer,
                leeway=300,
                options={"require": ["exp", "iss", "sub", "aud"]},
            )
        except (jwt.PyJWTError, KeyError):
            return False
        if claims["sub"] != issuer or claims["exp"] > time.time() + 3600:
            return False
        identifier = claims.get("jti")
        if identifier in self._assertion_ids:
            return False
        self._assertion_ids.add(str(identifier))
        return True

    def _count(self, kind: str) -> tuple[dict[str, str], bool]:
        """Headers about the limit, and whether the request is within it."""
        now = time.time()
        date = {"Date": formatdate(now + self.clock_ahead_seconds, usegmt=True)}
        if self.limit is None:
            return date, True
        begun, used = self._windows.get(kind, (now, 0))
        if now >= begun + self.window_seconds:
            begun, used = now, 0
        used += 1
        self._windows[kind] = (begun, used)
        reset = int(begun + self.window_seconds + self.clock_ahead_seconds) + 1
        headers = {
            "X-Rate-Limit-Limit": str(self.limit),
            "X-Rate-Limit-Remaining": str(max(0, self.limit - used)),
            "X-Rate-Limit-Reset": str(reset),
        }
        return {**date, **headers}, used <= self.limit


def _kind(segments: tuple[str, ...]) -> str:
    match segments:
        case ("oauth2", "v1", "token"):
            return "token"
        case ("api", "v1", "groups", _):
            return "group"
        case ("api", "v1", "users", _):
            return "user"
        case ("api", "v1", "users", *_):
            return "users"
    return "groups"
