"""What a member should hear of: new keys, weaker trust, another provider, renamed groups. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime

from groupseal.projection import BoundKey, Projection
from groupseal.trust import MembershipCheck, TrustMode, TrustSettings
from member_client.memory import Memory, SeenName

SHORT = 16


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence, and a code to branch on."""

    code: str
    text: str


def day(time_ms: int) -> str:
    """A ledger's time for people, UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def by_what(key: BoundKey) -> str:
    """By which evidence the ledger binds a key, for people."""
    if key.endorsing_key_id is not None:
        # It is trusted as much as the one that endorsed it, and no more.
        trusted = ", vendor-trusted" if key.trust_mode.is_vendor_trusted else ""
        return f"endorsed by your device {key.endorsing_key_id.hex()[:SHORT]}{trusted}"
    match key.trust_mode:
        case TrustMode.OIDC:
            return "by your sign-in at the identity provider"
        case TrustMode.APPROVE:
            return "by your organisation's approval"
        case TrustMode.PIN:
            return "vendor-trusted"


def unseen_keys(
    projection: Projection, member: bytes, own: bytes, memory: Memory
) -> list[BoundKey]:
    """Keys bound to the member that the member has not acknowledged, in the ledger's order.

    Those that are bound no more are among them if they came after this device's first look: they
    may have been granted to in between.
    """
    former = [
        key
        for key in projection.former_keys.values()
        if key.member == member and key.position >= memory.first_look
    ]
    seen = memory.keys | {own}
    found = [key for key in [*projection.keys_of(member), *former] if key.key_id not in seen]
    return sorted(found, key=lambda key: key.position)


def key_notices(projection: Projection, unseen: list[BoundKey]) -> list[Notice]:
    return [_key_notice(key, bound=key.key_id in projection.keys) for key in unseen]


def _key_notice(key: BoundKey, *, bound: bool) -> Notice:
    short = key.key_id.hex()[:SHORT]
    text = f"a new key, {short}, was bound to you on {day(key.time_ms)} ({by_what(key)})"
    if bound:
        text += f"; if that was not you: `groupseal member remove-device {short}`"
    else:
        text += ", and is removed by now; if that was not you, tell your administrator"
    return Notice("new_key", f"{text}. If it was: `groupseal member devices --seen`")


def is_weak(key: BoundKey | None, trust: TrustSettings) -> bool:
    """Whether a key is bound by the vendor's word where that is not enough any more."""
    bound_so = key is not None and key.trust_mode.is_vendor_trusted
    return bound_so and not trust.mode.is_vendor_trusted


def weak_key_notices(key: BoundKey | None, trust: TrustSettings) -> list[Notice]:
    """Of this device's own key."""
    if not is_weak(key, trust):
        return []
    return [
        Notice(
            "weak_key",
            "this device's key is vendor-trusted, and your organisation wants more by now: it gets"
            " into no further group. `groupseal member renew` makes a new one",
        )
    ]


# How much of the vendor's word each one believes: less is better.
_MODE_RANK = {TrustMode.PIN: 0, TrustMode.APPROVE: 1, TrustMode.OIDC: 1}


def is_weaker(now: TrustSettings, before: TrustSettings) -> bool:
    """Whether the vendor is believed in something that it was not believed in before."""
    mode = _MODE_RANK[now.mode] < _MODE_RANK[before.mode]
    return mode or now.membership_check < before.membership_check


def trust_notices(now: TrustSettings, before: TrustSettings) -> list[Notice]:
    """Told until acknowledged. What only became stricter is not told."""
    changes = []
    if now.mode is not before.mode and before.mode is not TrustMode.PIN:
        changes.append(f"keys: {_mode(before)} -> {_mode(now)}")
    elif now.mode is before.mode:
        changes += _differences(now, before)
    if now.membership_check < before.membership_check:
        changes.append(f"membership check: {_check(before)} -> {_check(now)}")
    if not changes:
        return []
    what = "; ".join(changes)
    end = "Ask your administrator whether that is meant; then `groupseal member status --seen`"
    if is_weaker(now, before):
        return [
            Notice("trust_weaker", f"YOUR ORGANISATION NOW TRUSTS THE VENDOR MORE: {what}. {end}")
        ]
    return [Notice("trust_changed", f"your organisation decides in another way: {what}. {end}")]


def _differences(now: TrustSettings, before: TrustSettings) -> list[str]:
    pairs = (
        ("identity provider", before.issuer, now.issuer),
        ("client id", before.client_id, now.client_id),
        ("claim", before.subject_claim, now.subject_claim),
    )
    return [f"{what}: {old or 'none'} -> {new or 'none'}" for what, old, new in pairs if old != new]


def _mode(trust: TrustSettings) -> str:
    return "vendor-trusted" if trust.mode.is_vendor_trusted else trust.mode.name.lower()


def _check(trust: TrustSettings) -> str:
    return trust.membership_check.name.lower()


def name_notice(seen: SeenName, named_ms: int | None) -> Notice | None:
    """Told until acknowledged, where a group has another name than the member knows it by."""
    if seen.known == seen.last:
        return None
    when = "" if named_ms is None else f" on {day(named_ms)}"
    return Notice(
        "renamed",
        f"the organisation renamed this group{when}: from {_quoted(seen.known)} to"
        f" {_quoted(seen.last)}. Once you know that: `groupseal member status --seen`",
    )


def _quoted(name: str | None) -> str:
    return "no name" if name is None else f'"{name}"'


def trust_sentence(trust: TrustSettings) -> str:
    """Who vouches for keys, and what that does not stop."""
    match trust.mode:
        case TrustMode.OIDC:
            return (
                f"The identity provider {trust.issuer} vouches for each key. Not stopped: an"
                " administrator of the identity provider who signs in as somebody else."
            )
        case TrustMode.APPROVE:
            return (
                "A person of your organisation approves each key. Not stopped: an approval given"
                " without comparing fingerprints."
            )
        case TrustMode.PIN:
            return (
                "Vendor-trusted: the first key that the vendor shows is taken for yours. Not"
                " stopped: a vendor that shows a key of its own."
            )


def membership_sentence(trust: TrustSettings) -> str:
    """Who decides who is in a group, and what that does not stop."""
    match trust.membership_check:
        case MembershipCheck.OFF:
            return "The vendor's word decides who is in a group. Not stopped: a ghost member."
        case MembershipCheck.OBSERVE:
            return (
                "The identity provider is asked who is in a group, and differences are reported."
                " Not stopped: a ghost member, until somebody reads the report."
            )
        case MembershipCheck.ENFORCE:
            return (
                "The identity provider is asked who is in a group before its key is given. Not"
                " stopped: an administrator of the identity provider who adds somebody."
            )
