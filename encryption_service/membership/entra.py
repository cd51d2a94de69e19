"""Microsoft Entra ID as membership source, over Microsoft Graph v1.0, read-only.

A member is a direct member of the group whose account is enabled. Entra provisions direct members
only, so `checkMemberGroups`, which also counts groups within the group, would say yes to people
whom Entra itself never pushes; here one member is asked for by a filter on the group's members.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

from encryption_service.membership.client_credentials import ClientCredentials
from encryption_service.membership.member_pages import MemberPages
from encryption_service.membership.rate_limits import RateGovernor
from encryption_service.membership.secret_file import SecretFile
from encryption_service.membership.source import (
    Clock,
    SourceGroup,
    SourceGroupMissingError,
    SourceRefusedError,
    SourceUnavailableError,
)
from encryption_service.membership.source_client import Credential, Http, Page, SourceClient
from encryption_service.secret_bytes import SecretBytes

GRAPH_URL = "https://graph.microsoft.com"
LOGIN_URL = "https://login.microsoftonline.com"
_PAGE = 999  # the most that Graph gives
# Filters on a relation take Graph's advanced queries, which ask for this header and `$count`.
_ADVANCED = {"ConsistencyLevel": "eventual"}


class EntraSource:
    """One tenant of Entra ID."""

    name = "entra"

    def __init__(
        self,
        http: Http,
        credential: Credential,
        governor: RateGovernor,
        *,
        graph_url: str = GRAPH_URL,
        page: int = _PAGE,
    ) -> None:
        self._governor, self._page = governor, page
        base = f"{graph_url.rstrip('/')}/v1.0"
        self._client = SourceClient(http, base, credential, governor, GraphErrors())

    @property
    def remaining(self) -> int | None:
        return self._governor.remaining

    def audit_delay_seconds(self) -> float:
        return self._governor.audit_delay_seconds()

    def find_groups(self, name: str) -> list[SourceGroup]:
        """Filters by name and compares exactly: Graph's comparison ignores case."""
        url: str | None = self._url(
            "groups",
            {"$filter": f"displayName eq {_quoted(name)}", "$select": "id,displayName"},
        )
        found: list[SourceGroup] = []
        while url is not None:
            page = self._client.get("groups", url)
            if page is None:
                raise SourceUnavailableError("Microsoft Graph has no groups at this URL")
            found += [_group(entry) for entry in _values(page)]
            url = self._next(page, url)
        return [group for group in found if group.name == name]

    def group(self, group_id: str) -> SourceGroup | None:
        if not _is_object_id(group_id):
            return None
        url = self._url(f"groups/{group_id}", {"$select": "id,displayName"})
        page = self._client.get("group", url)
        return None if page is None else _group(page.document)

    def members(self, group_id: str) -> Iterator[list[str]]:
        if not _is_object_id(group_id):
            raise SourceGroupMissingError("that is no object id of Entra's")
        query = {"$select": "id,accountEnabled", "$top": str(self._page)}
        return MemberPages(
            self._read_members, self._url(f"groups/{group_id}/members/microsoft.graph.user", query)
        )

    def is_member(self, group_id: str, subject: str) -> bool:
        """One request."""
        if not _is_object_id(group_id) or not _is_object_id(subject):
            return False
        query = {
            "$select": "id,accountEnabled",
            "$filter": f"id eq {_quoted(subject)}",
            "$count": "true",
        }
        url = self._url(f"groups/{group_id}/members/microsoft.graph.user", query)
        page = self._client.get("group member", url, _ADVANCED)
        return page is not None and any(_member(entry) == subject for entry in _values(page))

    def _read_members(self, url: str) -> tuple[list[str], str | None]:
        """One page of a group's members, and where the next one is.

        Raises SourceGroupMissingError.
        """
        page = self._client.get("group members", url)
        if page is None:
            raise SourceGroupMissingError(
                "Entra has no such group, or hides it from the credential"
            )
        subjects = [_member(entry) for entry in _values(page)]
        return [subject for subject in subjects if subject], self._next(page, url)

    def _url(self, path: str, query: dict[str, str]) -> str:
        return f"{self._client.base_url}/{path}?{urlencode(query, quote_via=quote, safe='$,')}"

    def _next(self, page: Page, current: str) -> str | None:
        link = page.document.get("@odata.nextLink")
        if link is None:
            return None
        if not isinstance(link, str) or link == current:
            raise SourceUnavailableError("Microsoft Graph's link to the next page is not usable")
        return self._client.follow(link)


class GraphErrors:
    """`{"error": {"code": "Request_ResourceNotFound", …}}`."""

    def code(self, document: Any) -> str | None:
        error = document.get("error") if isinstance(document, dict) else None
        code = error.get("code") if isinstance(error, dict) else None
        return code if isinstance(code, str) else None

    def is_absent(self, code: str) -> bool:
        return code in {"Request_ResourceNotFound", "ResourceNotFound", "itemNotFound"}


def entra_client_credentials(
    http: Http,
    file: SecretFile,
    *,
    tenant_id: str,
    client_id: str,
    governor: RateGovernor,
    clock: Clock,
    login_url: str = LOGIN_URL,
    graph_url: str = GRAPH_URL,
) -> ClientCredentials:
    """Tokens for what the app registration was granted at Microsoft Graph."""

    def proof(secret: SecretBytes) -> dict[str, str]:
        try:
            return {"client_id": client_id, "client_secret": secret.reveal().decode("ascii")}
        except UnicodeDecodeError:
            raise SourceUnavailableError(f"{file.path} holds no client secret of Entra's") from None

    return ClientCredentials(
        http,
        f"{login_url.rstrip('/')}/{quote(tenant_id, safe='')}/oauth2/v2.0/token",
        file,
        proof=proof,
        governor=governor,
        clock=clock,
        scope=f"{graph_url.rstrip('/')}/.default",
        remedy=_remedy,
    )


def _remedy(error_code: str) -> str:
    return {
        "invalid_client": "compare the client id with the app; renew the client secret",
        "unauthorized_client": "compare the client id and the tenant id with the app registration",
        "invalid_request": "compare the tenant id with the app registration",
    }.get(error_code, "")


def _quoted(value: str) -> str:
    """A string of OData's (4.01 ABNF): a quote within it is doubled."""
    return "'" + value.replace("'", "''") + "'"


def _is_object_id(text: str) -> bool:
    """A UUID in its canonical form: Graph also takes a user's principal name in its place."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _values(page: Page) -> list[Any]:
    values = page.document.get("value") if isinstance(page.document, dict) else None
    if not isinstance(values, list):
        raise SourceUnavailableError("Microsoft Graph's answer is not the list that was asked for")
    return values


def _group(entry: Any) -> SourceGroup:
    identifier = entry.get("id") if isinstance(entry, dict) else None
    name = entry.get("displayName") if isinstance(entry, dict) else None
    if not isinstance(identifier, str) or not isinstance(name, str):
        raise SourceUnavailableError("Microsoft Graph's answer holds a group without id or name")
    return SourceGroup(identifier, name)


def _member(entry: Any) -> str | None:
    """The user's object id; None for a disabled account. Raises SourceUnavailableError."""
    identifier = entry.get("id") if isinstance(entry, dict) else None
    if not isinstance(identifier, str):
        raise SourceUnavailableError("Microsoft Graph's answer holds a member without id")
    enabled = entry.get("accountEnabled")
    if not isinstance(enabled, bool):
        # Graph leaves out what the credential may not read.
        raise SourceRefusedError(
            "Microsoft Graph does not say whether accounts are enabled: grant User.Read.All"
        )
    return identifier if enabled else None
