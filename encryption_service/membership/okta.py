"""Okta as membership source: its Groups and Users API, read-only.

Who counts as a member: somebody whom Okta lists in the group and whose account is not deactivated
(`DEPROVISIONED`) or suspended (`SUSPENDED`). Okta keeps both in their groups, and neither can sign
in; a key of the group is withheld from them until they can again.
"""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

from encryption_service.membership.member_pages import MemberPages
from encryption_service.membership.rate_limits import RateGovernor
from encryption_service.membership.source import (
    SourceGroup,
    SourceGroupMissingError,
    SourceUnavailableError,
)
from encryption_service.membership.source_client import Credential, Http, Page, SourceClient

_PAGE = 200  # what Okta recommends as the most
_GROUPS_PAGE = 50
_SHUT_OUT = frozenset({"DEPROVISIONED", "SUSPENDED"})
# Okta takes a login, a part of one and `me` where it takes an id. Only an id names one person.
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LINK = re.compile(r"<([^<>]*)>((?:\s*;[^<,]*)*)")


class OktaSource:
    """One Okta organisation, at `https://….okta.com` (not the `-admin` host)."""

    name = "okta"

    def __init__(
        self,
        http: Http,
        url: str,
        credential: Credential,
        governor: RateGovernor,
        *,
        page: int = _PAGE,
    ) -> None:
        self._governor, self._page = governor, page
        self._client = SourceClient(http, url, credential, governor, OktaErrors())

    @property
    def remaining(self) -> int | None:
        return self._governor.remaining

    def audit_delay_seconds(self) -> float:
        return self._governor.audit_delay_seconds()

    def find_groups(self, name: str) -> list[SourceGroup]:
        """Searches by name and compares exactly: Okta's comparison ignores case.

        Its search index lags about a second behind, so a group made just now may be missing.
        """
        query = {"search": f"profile.name eq {_quoted(name)}", "limit": _GROUPS_PAGE}
        url: str | None = (
            f"{self._client.base_url}/api/v1/groups?{urlencode(query, quote_via=quote)}"
        )
        found: list[SourceGroup] = []
        while url is not None:
            page = self._client.get("groups", url)
            if page is None:
                raise SourceUnavailableError("Okta has no Groups API at this URL: set OKTA_URL")
            found += [_group(entry) for entry in _list(page)]
            url = self._next(page, url)
        return [group for group in found if group.name == name]

    def group(self, group_id: str) -> SourceGroup | None:
        if not _ID.fullmatch(group_id):
            return None
        page = self._client.get("group", self._path("groups", group_id))
        if page is None:
            return None
        group = _group(page.document)
        if group.id != group_id:
            raise SourceUnavailableError("Okta answers with another group than the one asked for")
        return group

    def members(self, group_id: str) -> Iterator[list[str]]:
        if not _ID.fullmatch(group_id):
            raise SourceGroupMissingError("that is no group id of Okta's")
        return MemberPages(
            self._read_members, f"{self._path('groups', group_id, 'users')}?limit={self._page}"
        )

    def is_member(self, group_id: str, subject: str) -> bool:
        """Two requests: the user's state, then the user's groups (paged)."""
        if not _ID.fullmatch(group_id) or not _ID.fullmatch(subject):
            return False
        user = self._client.get("user", self._path("users", subject))
        if user is None or _member(user.document) != subject:
            return False
        url: str | None = f"{self._path('users', subject, 'groups')}?limit={self._page}"
        while url is not None:
            page = self._client.get("user groups", url)
            if page is None:
                return False
            if any(_group(entry).id == group_id for entry in _list(page)):
                return True
            url = self._next(page, url)
        return False

    def _read_members(self, url: str) -> tuple[list[str], str | None]:
        """One page of a group's members, and where the next one is.

        Raises SourceGroupMissingError.
        """
        page = self._client.get("group members", url)
        if page is None:
            raise SourceGroupMissingError("Okta has no such group, or hides it from the credential")
        subjects = [_member(entry) for entry in _list(page)]
        return [subject for subject in subjects if subject], self._next(page, url)

    def _path(self, *segments: str) -> str:
        return "/".join([self._client.base_url, "api/v1", *(quote(s, safe="") for s in segments)])

    def _next(self, page: Page, current: str) -> str | None:
        link = next_link(page.headers.get("link", ""))
        if link == current:
            raise SourceUnavailableError("Okta's link to the next page leads to the same page")
        return None if link is None else self._client.follow(link)


class OktaErrors:
    """`{"errorCode": "E0000007", …}`."""

    def code(self, document: Any) -> str | None:
        code = document.get("errorCode") if isinstance(document, dict) else None
        return code if isinstance(code, str) else None

    def is_absent(self, code: str) -> bool:
        """E0000007: resource not found. Not E0000008: there is no such path."""
        return code == "E0000007"


def next_link(header: str) -> str | None:
    """The target with rel="next" of a Link header (RFC 8288), several of them joined by commas."""
    for target, parameters in _LINK.findall(header):
        if re.search(r';\s*rel="?next"?\s*(;|$)', parameters.strip()):
            return str(target)
    return None


def _quoted(value: str) -> str:
    r"""A string of Okta's expression language: `"` and `\` are escaped with a backslash."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _list(page: Page) -> list[Any]:
    if not isinstance(page.document, list):
        raise SourceUnavailableError("Okta's answer is not the list that was asked for")
    return page.document


def _group(entry: Any) -> SourceGroup:
    try:
        identifier, name = entry["id"], entry["profile"]["name"]
    except (KeyError, TypeError, IndexError) as error:
        raise SourceUnavailableError("Okta's answer holds a group without id or name") from error
    if not isinstance(identifier, str) or not isinstance(name, str):
        raise SourceUnavailableError("Okta's answer holds a group without id or name")
    return SourceGroup(identifier, name)


def _member(entry: Any) -> str | None:
    """The user's id; None for one who is shut out. Raises SourceUnavailableError."""
    identifier = entry.get("id") if isinstance(entry, dict) else None
    status = entry.get("status") if isinstance(entry, dict) else None
    if not isinstance(identifier, str) or not isinstance(status, str):
        raise SourceUnavailableError("Okta's answer holds a user without id or status")
    return None if status in _SHUT_OUT else identifier
