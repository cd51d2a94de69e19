"""What the commands answer, as JSON values: ids as text, keys in hexadecimal, times in ms."""

from collections.abc import Iterable, Mapping
from typing import Any

from encryption_service.administration_views import (
    BoundKeyInfo,
    GroupInfo,
    HoldInfo,
    WaitingApproval,
    WaitingKey,
)
from groupseal.identifiers import identifier_to_text
from groupseal.suites import suite_from

ApproverNames = Mapping[bytes, str]


def waiting_key(key: WaitingKey, names: ApproverNames) -> dict[str, Any]:
    return {
        "member": identifier_to_text(key.member),
        "key_id": key.key_id.hex(),
        "fingerprint": key.fingerprint,
        "suite": suite_from(key.suite).name.lower(),
        "user_name": key.user_name,
        "external_id": key.external_id,
        "since_ms": key.offered_ms,
        "replaces": key.replaces,
        "approved_by": _names_of(key.approvals, names),
        "needed": key.needed,
    }


def bound_key(key: BoundKeyInfo) -> dict[str, Any]:
    return {
        "member": identifier_to_text(key.member),
        "key_id": key.key_id.hex(),
        "fingerprint": key.fingerprint,
        "suite": suite_from(key.suite).name.lower(),
        "trust_mode": key.trust_mode.name.lower(),
        "endorsed": key.endorsed,
        "subject": key.subject,
        "user_name": key.user_name,
        "external_id": key.external_id,
        "since_ms": key.bound_ms,
    }


def waiting_approval(waiting: WaitingApproval, names: ApproverNames) -> dict[str, Any]:
    return {
        "group": identifier_to_text(waiting.group_id),
        "group_name": waiting.group_name,
        "member": identifier_to_text(waiting.member),
        "key_id": waiting.key_id.hex(),
        "fingerprint": waiting.fingerprint,
        "user_name": waiting.user_name,
        "external_id": waiting.external_id,
        "since_ms": waiting.since_ms,
        "approved_by": _names_of(waiting.given, names),
        "needed": waiting.needed,
        "approvers": _names_of(waiting.approvers, names),
    }


def hold(held: HoldInfo) -> dict[str, Any]:
    return {
        "group": identifier_to_text(held.group_id),
        "group_name": held.group_name,
        "member": identifier_to_text(held.member),
        "key_id": held.key_id.hex(),
        "user_name": held.user_name,
        "reason": str(held.reason),
        "remedy": held.reason.remedy,
        "since_ms": held.since_ms,
    }


def group(found: GroupInfo) -> dict[str, Any]:
    return {
        "group": identifier_to_text(found.group_id),
        "name": found.name,
        "names": list(found.names),
        "vendor_name": found.vendor_name,
        "epoch": found.epoch,
        "roster_size": found.roster_size,
        "granted": found.granted,
        "held": found.held,
        "source_group_id": found.source_group_id,
        "source_reason": found.source_reason,
        "approvals": found.approvals,
        "allowed": found.allowed,
    }


def _names_of(keys: Iterable[bytes], names: ApproverNames) -> list[str]:
    """An approver who is no longer in the policy is shown by the key."""
    return [names.get(key, f"(not in the policy: {key.hex()})") for key in keys]
