"""What the core may grant and must hold, said once more in plain Python.

It shares no code with the service: it knows what was asked for and answered, follows what the
ledger says, and raises AssertionError where the ledger says something that was not allowed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from groupseal.entries import EpochClosed, GroupReconciled, KeyBound, KeyUnbound
from groupseal.ledger import VerifiedEntry
from groupseal.reasons import Reason
from tests.support.trust_core import CACHE_MS, MAX_DEVICES

Name = tuple[bytes, bytes]  # member, key id
_HOUR_MS = 3_600_000
# What the clock goes on while the core settles must decide nothing.
_SLACK_SEALS = 0.01


@dataclass(frozen=True)
class Evidence:
    """What a sign-in says; `fault`: it does not even verify."""

    subject: str
    issued_ms: int
    signed_in_ms: int | None
    acr: str | None
    fault: Reason | None = None


@dataclass(frozen=True)
class Asked:
    """A key that somebody wants bound."""

    member: bytes
    key_id: bytes
    suite: str
    replaces: bool = False
    # A key whose signature under it is good.
    endorser: bytes | None = None
    evidence: Evidence | None = None
    external_id: str = ""


@dataclass(frozen=True)
class Bound:
    """A bound key, and the trust mode whose evidence bound it."""

    member: bytes
    suite: str
    mode: str


@dataclass
class ModelGroup:
    """A group as it has to be."""

    roster: set[bytes] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    epoch: int = 0
    is_open: bool = False
    # Who has the secret of the newest epoch in hand, whatever was said of them since.
    holders: set[Name] = field(default_factory=set)
    # Who was let in, and neither left nor lost the key since.
    admitted: set[Name] = field(default_factory=set)
    endorsed: set[bytes] = field(default_factory=set)
    source: str | None = None
    source_fault: Reason | None = None


@dataclass
class Bucket:
    """At least so many seals were used and not refilled yet; the limits that refilled since."""

    used: float
    at_ms: int
    limits: set[int] = field(default_factory=set)


class TrustModel:
    """`mode`: pin, approve or oidc; `enforces`: only a yes of the source lets somebody in."""

    def __init__(self, mode: str, *, enforces: bool) -> None:
        self.mode, self.enforces = mode, enforces
        self.now_ms = 0
        self.policy: Mapping[str, Any] = {}
        self.approver_keys: dict[str, bytes] = {}
        self.frozen = False
        self.groups: dict[bytes, ModelGroup] = {}
        self.bound: dict[bytes, Bound] = {}
        self.former: set[bytes] = set()
        self.turned_down: set[bytes] = set()
        # Subject and newest evidence of each member, by evidence; externalId by the vendor's word.
        self.subjects: dict[bytes, tuple[str, int]] = {}
        self.external_ids: dict[bytes, str] = {}
        # (source group, subject) -> (yes, when it was said).
        self.said: dict[tuple[str, str], tuple[bool, int]] = {}
        # (group or None for the key itself, member, key, approver) -> when it expires.
        self.approvals: dict[tuple[bytes | None, bytes, bytes, bytes], int] = {}
        self.buckets: dict[bytes, Bucket] = {}
        # What may happen to keys in this step.
        self.may_bind: Asked | None = None
        self.may_unbind: set[bytes] = set()

    # Keys

    def devices(self, member: bytes) -> list[bytes]:
        return [key for key, bound in self.bound.items() if bound.member == member]

    def verdict(self, asked: Asked, *, by_command: bool = False) -> str:
        """`bound`, `refused` or `waits`."""
        if asked.key_id in self.bound:
            return "bound" if self.bound[asked.key_id].member == asked.member else "refused"
        suites = self.policy.get("suites")
        if asked.key_id in self.former | self.turned_down:
            return "refused"
        if suites and asked.suite not in suites:
            return "refused"
        found = self._by_mode(asked, by_command=by_command)
        if asked.endorser in self.devices(asked.member):
            found = "bound"
        is_too_many = not asked.replaces and len(self.devices(asked.member)) >= MAX_DEVICES
        return "refused" if found == "bound" and is_too_many else found

    def _by_mode(self, asked: Asked, *, by_command: bool) -> str:
        if self.mode == "pin":
            return "refused" if self.devices(asked.member) else "bound"
        if self.mode == "oidc":
            return self._by_evidence(asked)
        needed = self.policy.get("keys", {}).get("approvals", 0)
        if needed == 0:
            return "bound" if by_command else "waits"
        known = set(self._approvers(None))
        signed = self._signed(None, (asked.member, asked.key_id))
        return "bound" if len(known & signed) >= needed else "waits"

    def _by_evidence(self, asked: Asked) -> str:
        evidence = asked.evidence
        if evidence is None:
            return "refused"
        if evidence.fault is not None:
            is_away = evidence.fault is Reason.IDENTITY_PROVIDER_UNAVAILABLE
            return "waits" if is_away else "refused"
        subject, mark = self.subjects.get(asked.member, (evidence.subject, 0))
        others = {s for m, (s, _) in self.subjects.items() if m != asked.member}
        is_this_person = subject == evidence.subject and evidence.subject not in others
        is_this_person &= asked.external_id in {"", evidence.subject}
        acrs = self.policy.get("evidence", {}).get("required_acr")
        is_strong = not acrs or evidence.acr in acrs
        is_fresh = not asked.replaces
        if evidence.signed_in_ms is not None:
            is_fresh |= self.now_ms - evidence.signed_in_ms <= 360_000
        is_new = evidence.issued_ms >= mark
        return "bound" if is_this_person and is_strong and is_fresh and is_new else "refused"

    def forget_key_approvals(self, member: bytes) -> None:
        """What approvers of the member's keys saw is not what is asked for any more."""
        for place in [each for each in self.approvals if each[:2] == (None, member)]:
            del self.approvals[place]

    # Additions

    def why_not(self, group_id: bytes, name: Name) -> Reason | None:
        """The first thing that holds a key on the roster back, limits left aside."""
        return next(self.obstacles(group_id, name), None)

    def obstacles(self, group_id: bytes, name: Name) -> Iterator[Reason]:
        """Everything that does, in the order in which a person would resolve it."""
        group, suite = self.groups[group_id], self.bound[name[1]].suite
        if self.frozen or self.policy.get("freeze"):
            yield Reason.FROZEN
        if not self.is_allowed(group_id, group):
            yield Reason.GROUP_NOT_ALLOWED
        rules = self.protections(group_id, group)
        if suite not in self.policy.get("suites", (suite,)) or (rules and suite == "x25519"):
            yield Reason.SUITE_NOT_ALLOWED
        if self.is_weak(name[1]):
            yield Reason.EVIDENCE_NEEDED if self.mode == "oidc" else Reason.KEY_APPROVAL_NEEDED
        if self.enforces and (reason := self._at_source(group, name[0])):
            yield reason
        signed = self._signed(group_id, name)
        for rule in rules if name[1] not in group.endorsed else ():
            if len(set(self._approvers(rule.get("approvers"))) & signed) < rule["approvals"]:
                yield Reason.APPROVAL_NEEDED

    def is_weak(self, key_id: bytes) -> bool:
        """Bound by the vendor's word alone, which is not enough any more."""
        return self.mode != "pin" and self.bound[key_id].mode == "pin"

    def is_allowed(self, group_id: bytes, group: ModelGroup) -> bool:
        rules = self.policy.get("groups", {})
        allow, deny = rules.get("allow", [{"name": "*"}]), rules.get("deny", [])
        if any(_touches(each, group_id, group.names) for each in deny):
            return False
        names = group.names or {""}
        return all(any(_is_named(each, group_id, name) for each in allow) for name in names)

    def protections(self, group_id: bytes, group: ModelGroup) -> list[Mapping[str, Any]]:
        return [
            rule
            for rule in self.policy.get("protected", [])
            if any(_touches(each, group_id, group.names) for each in rule["match"])
        ]

    def _at_source(self, group: ModelGroup, member: bytes) -> Reason | None:
        if group.source_fault or group.source is None:
            return group.source_fault or Reason.MEMBERSHIP_UNCHECKED
        subject = self.subject_of(member)
        if subject is None:
            return Reason.SUBJECT_UNKNOWN
        yes, at_ms = self.said.get((group.source, subject), (False, -CACHE_MS))
        if self.now_ms - at_ms >= CACHE_MS:
            return Reason.MEMBERSHIP_UNCHECKED
        return None if yes else Reason.NOT_IN_SOURCE_GROUP

    def subject_of(self, member: bytes) -> str | None:
        if member in self.subjects:
            return self.subjects[member][0]
        return None if self.mode == "oidc" else self.external_ids.get(member)

    def _approvers(self, names: Iterable[str] | None) -> list[bytes]:
        """Keys of those of the policy's approvers who are named, or of all."""
        listed = [each["name"] for each in self.policy.get("approvers", [])]
        return [self.approver_keys[n] for n in listed if names is None or n in names]

    def _signed(self, group: bytes | None, name: Name) -> set[bytes]:
        return {
            approver
            for (g, *n, approver), expires_ms in self.approvals.items()
            if g == group and tuple(n) == name and expires_ms > self.now_ms
        }

    def _take(self, group_id: bytes, count: int) -> None:
        """Every seal comes out of both buckets."""
        for bucket, limit in self._limits(group_id):
            known = self.buckets.get(bucket, Bucket(0.0, self.now_ms))
            refilled = max({limit, *known.limits}) * (self.now_ms - known.at_ms) / _HOUR_MS
            used = max(0.0, known.used - refilled) + count
            assert used <= limit + _SLACK_SEALS, "more was sealed than the limit allows"
            self.buckets[bucket] = Bucket(used, self.now_ms)

    def _limits(self, group_id: bytes) -> list[tuple[bytes, int]]:
        """Of all groups together, and of this one."""
        limits = self.policy.get("limits", {})
        both = {b"": "seals_per_hour", group_id: "seals_per_hour_per_group"}
        return [(bucket, limits[name]) for bucket, name in both.items() if name in limits]

    def change_policy(self, document: Mapping[str, Any]) -> None:
        """The document is in force from here on."""
        self.policy = document
        for bucket, known in self.buckets.items():
            known.limits |= {limit for of, limit in self._limits(bucket) if of == bucket}

    # The ledger

    def follow(self, entries: Iterable[VerifiedEntry]) -> None:
        """Takes over what the ledger says. Raises AssertionError for what it must not say."""
        for verified in entries:
            match verified.entry.body:
                case KeyBound() as body:
                    self._bind(body)
                case KeyUnbound() as body:
                    assert body.key_id in self.may_unbind, "nobody asked for this removal"
                    del self.bound[body.key_id]
                    self.former.add(body.key_id)
                    for group in self.groups.values():
                        group.admitted.discard((body.member, body.key_id))
                case EpochClosed() as body:
                    self._change(body)
                    self.groups[body.group].is_open = False
                case GroupReconciled() as body:
                    self._reconcile(body, {(g.member, g.key_id) for g in verified.grants})
                case _:
                    pass

    def _bind(self, body: KeyBound) -> None:
        asked = self.may_bind
        assert asked is not None, "a key was bound that nobody offered"
        assert (asked.member, asked.key_id) == (body.member, body.key_id)
        by = self.bound.get(body.endorsing_key_id or b"")
        assert (by is not None) == (asked.endorser in self.devices(asked.member))
        is_shown = by is None or self._by_mode(asked, by_command=False) == "bound"
        mode = self.mode if by is None or is_shown else by.mode
        if (body.evidence_digest or body.subject_digest) is not None:
            assert is_shown, "evidence is noted that vouches for nobody"
        if self.mode == "oidc" and is_shown and asked.evidence is not None:
            _, mark = self.subjects.get(asked.member, ("", 0))
            newest = max(mark, asked.evidence.issued_ms)
            self.subjects[asked.member] = (asked.evidence.subject, newest)
        self.bound[asked.key_id] = Bound(asked.member, asked.suite, mode)
        for group in self.groups.values():
            if (asked.member, body.endorsing_key_id) in group.admitted & group.holders:
                group.endorsed.add(asked.key_id)
        if asked.replaces:
            self.may_unbind |= set(self.devices(asked.member)) - {asked.key_id}

    def _change(self, body: EpochClosed | GroupReconciled) -> ModelGroup:
        group = self.groups.setdefault(body.group, ModelGroup())
        group.roster.update(body.joined)
        for member in body.left:
            group.roster.discard(member)
            group.admitted = {name for name in group.admitted if name[0] != member}
            group.endorsed -= {key for key, b in self.bound.items() if b.member == member}
            if group.source is not None and (subject := self.subject_of(member)):
                self.said.pop((group.source, subject), None)
        return group

    def _reconcile(self, body: GroupReconciled, grants: set[Name]) -> None:
        group = self._change(body)
        if body.opens:
            assert body.epoch == group.epoch + 1
            group.epoch, group.is_open, group.holders = body.epoch, True, set()
        assert group.is_open
        assert body.epoch == group.epoch
        for member, key_id in grants:
            assert member in group.roster, "granted to somebody who is not on the roster"
            assert key_id in self.bound, "granted to a key that is not bound"
            assert self.bound[key_id].member == member, "granted to somebody else's key"
        news = grants - group.admitted
        for name in news:
            assert (reason := self.why_not(body.group, name)) is None, f"granted in spite: {reason}"
        if news:
            self._take(body.group, len(news))
        group.holders |= grants
        group.admitted |= grants

    # What must be so whenever nothing is under way

    def check_epochs(self) -> None:
        """I5: every epoch is open, and nobody has its secret who left or whose key is unbound."""
        for group_id, group in self.groups.items():
            if group.epoch == 0:
                continue
            assert group.is_open, f"{group_id!r} stays closed"
            assert group.holders == group.admitted, "somebody who is out holds an open epoch"

    def due(self, group: ModelGroup) -> set[Name]:
        """Every bound key of everyone on the roster."""
        return {(b.member, key) for key, b in self.bound.items() if b.member in group.roster}


def _is_named(match: Mapping[str, str], group_id: bytes, name: str) -> bool:
    if "id" in match:
        return match["id"].replace("-", "") == group_id.hex()
    return fnmatchcase(name, match["name"])


def _touches(match: Mapping[str, str], group_id: bytes, names: set[str]) -> bool:
    """A group that has no name yet may get any."""
    if "name" in match and not names:
        return True
    return any(_is_named(match, group_id, name) for name in names or {""})
