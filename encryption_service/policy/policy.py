"""The customer's policy as the service asks it. Frozen and pure; `parse` makes it of a document.

It holds back additions only: nothing here is asked before somebody is taken off (I5).
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from encryption_service.policy.names import NamePattern
from groupseal.encoding import Writer
from groupseal.labels import Label
from groupseal.suites import Suite

REPLACEMENT_MAX_AUTH_AGE_SECONDS = 300
# What enters a protected group must stay closed to a quantum computer.
_PROTECTED_SUITES = frozenset({Suite.XWING})
# The canonical JSON of the document that says nothing.
EMPTY_DOCUMENT = '{"version":1}'


@dataclass(frozen=True, slots=True)
class Requirement:
    """So many signatures, by different approvers out of these (Ed25519 public keys)."""

    approvals: int
    approvers: frozenset[bytes]

    def satisfied_by(self, keys: Collection[bytes]) -> bool:
        return len(self.approvers.intersection(keys)) >= self.approvals


@dataclass(frozen=True, slots=True)
class GroupRule:
    """What the policy says of one group. Every requirement must be satisfied, by itself."""

    allowed: bool
    requirements: tuple[Requirement, ...] = ()
    # Suites of the keys that may be added; None: any that may be bound.
    suites: frozenset[Suite] | None = None

    @property
    def approvals(self) -> int:
        """The highest number that any requirement asks for; 0: the group is not protected."""
        return max((each.approvals for each in self.requirements), default=0)

    @property
    def approvers(self) -> frozenset[bytes]:
        """Everyone whose signature counts for some requirement."""
        return frozenset().union(*(each.approvers for each in self.requirements))

    def satisfied_by(self, keys: Collection[bytes]) -> bool:
        """Whether signatures by these approvers' keys suffice for one key of one member."""
        return all(each.satisfied_by(keys) for each in self.requirements)


@dataclass(frozen=True, slots=True)
class GroupMatch:
    """A group's id (16 bytes), or a pattern of its name: exactly one of them is there."""

    group_id: bytes | None = None
    pattern: NamePattern | None = None

    def is_named(self, group_id: bytes, name: str | None) -> bool:
        """By id, or by this name of it; a group without a name needs `*`."""
        if self.pattern is None:
            return self.group_id == group_id
        if name is None:
            return self.pattern.matches_everything
        return self.pattern.matches(name)

    def is_any(self, group_id: bytes, names: Collection[str]) -> bool:
        """By id, or the pattern matches any name; a group without a name may become any."""
        if self.pattern is None:
            return self.group_id == group_id
        return not names or any(self.pattern.matches(name) for name in names)


@dataclass(frozen=True, slots=True)
class Protection:
    """Groups that are entered by approval only."""

    match: tuple[GroupMatch, ...]
    requirement: Requirement


_EVERY_GROUP = (GroupMatch(pattern=NamePattern("*")),)


def document_digest(document: str) -> bytes:
    """SHA-256 (32 bytes) over label and canonical JSON of a policy's document."""
    return hashlib.sha256(Writer(Label.POLICY).text(document).bytes()).digest()


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy in force. Two with the same digest decide everything alike."""

    # SHA-256 with Label.POLICY; what the ledger says of a policy.
    digest: bytes
    # Canonical JSON of the validated document, without what it leaves at its default.
    document: str = field(repr=False)
    freeze: bool = False
    allow: tuple[GroupMatch, ...] = _EVERY_GROUP
    deny: tuple[GroupMatch, ...] = ()
    protected: tuple[Protection, ...] = ()
    # Ed25519 public key -> name.
    approvers: Mapping[bytes, str] = field(default_factory=lambda: MappingProxyType({}))
    # Signatures that trust mode `approve` needs for a key; 0: the command on the socket suffices.
    key_approvals: int = 0
    # None: those that the service's settings allow.
    suites: tuple[Suite, ...] | None = None
    # None: without a limit.
    seals_per_hour: int | None = None
    seals_per_hour_per_group: int | None = None
    replacement_max_auth_age_ms: int = REPLACEMENT_MAX_AUTH_AGE_SECONDS * 1000
    # Values of `acr` (OpenID Connect Core 2) of which evidence must bear one; empty: any or none.
    required_acr: frozenset[str] = frozenset()

    @property
    def is_open(self) -> bool:
        """Nothing in it holds an addition to any group back."""
        limits = (self.seals_per_hour, self.seals_per_hour_per_group)
        return (
            not self.freeze
            and not self.deny
            and not self.protected
            and limits == (None, None)
            and self.suites is None
            and any(each.pattern and each.pattern.matches_everything for each in self.allow)
        )

    def group_rule(self, group_id: bytes, names: Collection[str]) -> GroupRule:
        """What holds for a group that ever had these names.

        Whoever names a group must not escape by it: any name that it ever had denies or protects
        it, and every one of them must be allowed (not necessarily by the same pattern). A group
        whose name is not known yet is taken for what is worst.
        """
        if any(match.is_any(group_id, names) for match in self.deny):
            return GroupRule(allowed=False)
        known: Collection[str | None] = names or (None,)
        allowed = all(any(match.is_named(group_id, name) for match in self.allow) for name in known)
        if not allowed:
            return GroupRule(allowed=False)
        requirements = tuple(
            rule.requirement
            for rule in self.protected
            if any(match.is_any(group_id, names) for match in rule.match)
        )
        return GroupRule(True, requirements, self._suites_into(is_protected=bool(requirements)))

    def _suites_into(self, *, is_protected: bool) -> frozenset[Suite] | None:
        suites = None if self.suites is None else frozenset(self.suites)
        if not is_protected:
            return suites
        return _PROTECTED_SUITES if suites is None else suites & _PROTECTED_SUITES


DEFAULT_POLICY = Policy(digest=document_digest(EMPTY_DOCUMENT), document=EMPTY_DOCUMENT)
