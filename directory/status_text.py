"""Pure: the status for people."""

from datetime import UTC, datetime

from directory.status import GroupStatus, TenantStatus
from groupseal.reasons import Reason


def tenant_text(status: TenantStatus, *, every_group: bool, now: datetime) -> str:
    """A few lines on a tenant, then one on each group where something is pending."""
    lines = [f"{status.name}  {status.tenant_id}  {_service(status, now)}"]
    if status.fingerprint is not None:
        lines.append(f"  organisation {status.organisation_id}, fingerprint {status.fingerprint}")
        lines += _trust(status)
    if status.halted_reason is not None:
        lines.append(f"  HALTED: {_reason(status.halted_reason)}")
    if status.restored_until is not None:
        lines.append(
            f"  the database was restored: entries {status.restored_from} to "
            f"{status.restored_until} are read again; who left in them is held "
            "(`groupseal tenant release`)"
        )
    lines.append(f"  memberships: {_counts(status.memberships)}; keys: {_counts(status.keys)}")
    for what, keys in (("refused", status.refused_keys), ("waiting", status.waiting_keys)):
        lines += [f"    {count} keys {what}: {_reason(reason)}" for reason, count in keys.items()]
    groups = [group for group in status.groups if every_group or not group.settled]
    for group in groups:
        lines += _group(group, now)
    if not groups:
        lines.append("  no group is pending")
    return "\n".join(lines)


def _trust(status: TenantStatus) -> list[str]:
    """How the organisation decides whom to trust, and what it holds back at the moment."""
    check = status.membership_check or "off"
    source = f" at {status.membership_source}" if status.membership_source else ""
    lines = [f"  trust: {_mode(status)}; membership check: {check}{source}"]
    if status.frozen:
        lines.append(f"  FROZEN: {Reason.FROZEN.remedy}")
    if status.policy_fault is not None:
        lines.append(
            "  the organisation's policy file is wrong, the last good one is in force: "
            f"{status.policy_fault}"
        )
    return lines


def _mode(status: TenantStatus) -> str:
    match status.trust_mode:
        case None:
            return "not known before the ledger was read"
        case "pin":
            return "pin (vendor-trusted: the first key seen for a member is believed)"
        case "oidc":
            return f"oidc (evidence of {status.issuer})"
        case mode:
            return mode


def _service(status: TenantStatus, now: datetime) -> str:
    if status.state != "connected":
        return f"not connected: {Reason.NOT_CONNECTED.remedy}"
    if status.service_down_since is not None:
        reason = _reason(status.service_reason or Reason.SERVICE_UNAVAILABLE)
        return (
            f"service {status.service_address} down for {_ago(status.service_down_since, now)} "
            f"({status.service_failures} failures): {reason}"
        )
    return f"service {status.service_address}, ledger of {status.ledger_size} entries"


def _group(group: GroupStatus, now: datetime) -> list[str]:
    epoch = f"epoch {group.epoch}{'' if group.epoch_open or not group.epoch else ' (closed)'}"
    mark = ""
    if group.dirty:
        mark = f", pending for {_ago(group.dirty_since, now)}"
        if group.attempts:
            mark += f", {group.attempts} attempts"
    deleted = " (deleted)" if group.deleted else ""
    lines = [f"  {group.display_name or group.group_id}{deleted}: {epoch}{mark}"]
    lines[0] += f"; {_counts(group.memberships)}"
    if group.reason is not None:
        lines.append(f"    {_reason(group.reason)}")
    for reason, count in sorted(group.waiting.items()):
        lines.append(f"    {count} waiting: {_reason(reason)}")
    if group.unknown_members:
        lines.append(
            f"    {group.unknown_members} pushed members are not known, the oldest for "
            f"{_ago(group.unknown_since, now)}: they join when the identity provider creates them"
        )
    return lines


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"


def _reason(code: str) -> str:
    try:
        return f"{code}. {Reason(code).remedy}"
    except ValueError:
        return code


def _ago(since: datetime | None, now: datetime) -> str:
    if since is None:
        return "some time"
    seconds = max(0, int((now - since.astimezone(UTC)).total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
