"""What the customer's commands show. Names and external ids of people are the vendor's word."""

from dataclasses import dataclass

from groupseal.reasons import Reason
from groupseal.trust import TrustMode


@dataclass(frozen=True, slots=True)
class WaitingKey:
    """A key that waits for an approver. Names are the vendor's word."""

    member: bytes
    key_id: bytes
    suite: int
    fingerprint: str
    external_id: str
    user_name: str
    offered_ms: int
    replaces: bool
    # Keys of the approvers who have signed, and how many signatures the policy asks for.
    approvals: tuple[bytes, ...]
    needed: int


@dataclass(frozen=True, slots=True)
class BoundKeyInfo:
    """A key that is sealed to."""

    member: bytes
    key_id: bytes
    suite: int
    fingerprint: str
    trust_mode: TrustMode
    endorsed: bool
    # By evidence; empty without.
    subject: str
    external_id: str
    user_name: str
    bound_ms: int


@dataclass(frozen=True, slots=True)
class WaitingApproval:
    """A key that waits at the door of a protected group."""

    group_id: bytes
    group_name: str
    member: bytes
    key_id: bytes
    fingerprint: str
    external_id: str
    user_name: str
    given: tuple[bytes, ...]
    needed: int
    approvers: tuple[bytes, ...]
    since_ms: int


@dataclass(frozen=True, slots=True)
class HoldInfo:
    """Somebody on a roster who is not granted, and why."""

    group_id: bytes
    group_name: str
    member: bytes
    key_id: bytes
    user_name: str
    reason: Reason
    since_ms: int


@dataclass(frozen=True, slots=True)
class GroupInfo:
    """A group as the service knows it."""

    group_id: bytes
    # What the ledger calls it, every name it ever had, and what the vendor calls it.
    name: str
    names: tuple[str, ...]
    vendor_name: str
    epoch: int
    roster_size: int
    granted: int
    held: int
    source_group_id: str
    source_reason: str
    approvals: int
    allowed: bool
