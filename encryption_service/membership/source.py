"""What the service asks an identity provider: which group is this, and who is in it.

One small interface, so that Okta and Entra differ in their own files only. A subject is the id that
the identity provider has for a person (at Okta the user id, at Entra the object id).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from encryption_service.errors import ServiceError
from groupseal.reasons import Reason

# Milliseconds since 1970.
Clock = Callable[[], int]


@dataclass(frozen=True, slots=True)
class SourceGroup:
    """A group as the identity provider knows it."""

    id: str
    name: str


class SourceUnavailableError(ServiceError):
    """The source did not answer, or not usably: wait and ask again.

    `retry_after_seconds` is what the source asked for; 0: it said nothing, and the caller backs off
    as it sees fit.
    """

    def __init__(
        self,
        text: str,
        *,
        reason: Reason = Reason.MEMBERSHIP_SOURCE_UNAVAILABLE,
        retry_after_seconds: float = 0.0,
    ) -> None:
        super().__init__(text)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


class SourceRefusedError(SourceUnavailableError):
    """The source refused this one request; others may still be answered."""


class StoppingError(ServiceError):
    """The service is stopping; what was asked is asked again after the next start."""


class SourceGroupMissingError(ServiceError):
    """The group is not there, or the credential may not see it: the two look the same."""


class MembershipSource(Protocol):
    """Read-only, thread-safe. Every call raises SourceUnavailableError where there is no answer."""

    @property
    def name(self) -> str:
        """`okta` or `entra`."""

    @property
    def remaining(self) -> int | None:
        """Requests that the source's tightest rate limit has left, where it says so."""

    def find_groups(self, name: str) -> list[SourceGroup]:
        """Every group of exactly this name."""

    def group(self, group_id: str) -> SourceGroup | None:
        """None: no such group, or none that the credential may see."""

    def members(self, group_id: str) -> Iterator[list[str]]:
        """Subjects in pages.

        The iterator stays where it is when a page cannot be had: ask it for the next one again.
        Raises SourceGroupMissingError.
        """

    def is_member(self, group_id: str, subject: str) -> bool:
        """False also for a subject or group that is not there."""

    def audit_delay_seconds(self) -> float:
        """How long an audit shall wait before its next request, to leave room for checks."""
