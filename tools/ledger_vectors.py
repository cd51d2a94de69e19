"""Test vectors of whole ledgers: which entry may follow which, as far as keys are concerned.

Every entry of a case but the last is accepted. With the last one happens what the case declares.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from groupseal.bindings import BindingRequest
from groupseal.entries import (
    Body,
    Entry,
    EpochClosed,
    GroupNamed,
    GroupReconciled,
    KeyBound,
    KeyUnbound,
    OrganisationCreated,
    TrustChanged,
)
from groupseal.grants import Grant, encode_grants, envelope_hash, grants_root
from groupseal.ledger import EMPTY_ROSTER_DIGEST, next_roster_digest
from groupseal.parts import GroupNamePart, PartKind, Parts, part_digest
from groupseal.trust import VENDOR_TRUSTED, TrustMode
from member_client.key_file import DeviceKeys
from tools.vector_case import Vectors, case
from tools.vector_inputs import (
    DEVICE,
    EPOCHS,
    GROUP,
    MEMBER,
    MEMBERS,
    ORGANISATION,
    OTHERS,
    PUBLIC_KEY,
    SECOND,
    TIME_MS,
    TRUST,
    fixed,
)

OTHER_MEMBER = MEMBERS[1]
KEYSET, SECRET, LINK = fixed("keyset"), fixed("sealed secret"), fixed("history link")
SUBJECT = fixed("sealed subject")
CREATED = OrganisationCreated(
    PUBLIC_KEY,
    b"",
    TrustMode.OIDC,
    TRUST.digest(),
    part_digest(PartKind.SEALED_KEYSET, KEYSET),
)
_PIN = VENDOR_TRUSTED.digest()


@dataclass(frozen=True, slots=True)
class Step:
    """An entry's body and the parts beside it."""

    body: Body
    parts: Parts


def _bound(
    keys: DeviceKeys,
    member: bytes = MEMBER,
    *,
    replaces: bool = False,
    endorser: DeviceKeys | None = None,
    mode: TrustMode = TrustMode.OIDC,
) -> KeyBound:
    request = BindingRequest(
        ORGANISATION,
        member,
        keys.suite,
        keys.hpke_public_key,
        keys.signing_public_key,
        replaces,
    )
    evidence = endorser is None and mode is TrustMode.OIDC
    return KeyBound(
        member,
        keys.key_id,
        keys.suite,
        keys.hpke_public_key,
        keys.signing_public_key,
        keys.sign(request.message()),
        mode,
        replaces,
        evidence_digest=fixed("evidence") if evidence else None,
        evidence_time_ms=TIME_MS if evidence else None,
        subject_digest=fixed("subject") if evidence else None,
        sealed_subject_digest=(part_digest(PartKind.SEALED_SUBJECT, SUBJECT) if evidence else None),
        endorsing_key_id=endorser.key_id if endorser else None,
        endorsement=endorser.sign(request.endorsement_message()) if endorser else None,
    )


def _step(body: KeyBound) -> Step:
    parts = {PartKind.SEALED_SUBJECT: SUBJECT} if body.sealed_subject_digest else {}
    return Step(body, parts)


def _bind(keys: DeviceKeys, member: bytes = MEMBER) -> Step:
    return _step(_bound(keys, member))


def _unbind(keys: DeviceKeys, reason: str, member: bytes = MEMBER) -> Step:
    return Step(KeyUnbound(member, keys.key_id, reason), {})


def _start() -> list[Step]:
    return [
        Step(CREATED, {PartKind.SEALED_KEYSET: KEYSET}),
        Step(TrustChanged(TRUST), {}),
    ]


def _reconcile(
    base: int | None,
    epoch: int,
    members: Sequence[tuple[bytes, DeviceKeys]],
    *,
    opens: bool,
    joined: Sequence[bytes] = (),
    roster: bytes,
) -> Step:
    grants = encode_grants(
        sorted(Grant(m, k.key_id, envelope_hash(fixed("envelope"))) for m, k in members)
    )
    parts: Parts = {PartKind.GRANTS: grants}
    if opens:
        parts[PartKind.SEALED_SECRET] = SECRET
    if opens and epoch > 1:
        parts[PartKind.HISTORY_LINK] = LINK
    digests = {
        kind: part_digest(kind, part) for kind, part in parts.items() if kind != PartKind.GRANTS
    }
    body = GroupReconciled(
        GROUP,
        base,
        epoch,
        opens,
        EPOCHS[epoch].public_key,
        tuple(sorted(joined)),
        (),
        roster,
        grants_root(grants),
        len(members),
        digests.get(PartKind.SEALED_SECRET),
        digests.get(PartKind.HISTORY_LINK),
    )
    return Step(body, parts)


def ledgers() -> Vectors:
    return {
        "section": "3",
        "organisation": ORGANISATION.hex(),
        "public_key": PUBLIC_KEY.hex(),
        "cases": [*_endorsements(), *_removals(), *_epochs(), *_parts()],
    }


def _endorsements() -> list[dict[str, Any]]:
    first, start = _bind(DEVICE), _start()
    others = _bind(OTHERS, OTHER_MEMBER)
    endorsed = _bound(SECOND, endorser=DEVICE)
    replacing = _bound(SECOND, endorser=DEVICE, replaces=True)
    second, instead = _step(endorsed), _step(replacing)
    moved = replace(replacing, endorsement=endorsed.endorsement)
    unproven = replace(endorsed, replaces=True)
    return [
        _ledger("a device by evidence", [*start, first], keys=[DEVICE]),
        _ledger("another device, endorsed", [*start, first, second], keys=[DEVICE, SECOND]),
        _ledger(
            "a replacement, endorsed",
            [*start, first, instead, _unbind(DEVICE, "key_replaced")],
            keys=[SECOND],
        ),
        _ledger("endorsed by a key that is not bound", [*start, second], "ledger_rule"),
        _ledger(
            "endorsed by a key that is not bound any more",
            [*start, first, _unbind(DEVICE, "key_removed_by_member"), second],
            "ledger_rule",
        ),
        _ledger(
            "endorsed by another member's key",
            [*start, others, _step(_bound(SECOND, endorser=OTHERS))],
            "ledger_rule",
        ),
        _ledger(
            "a replacement with the endorsement of an addition",
            [*start, first, Step(moved, {})],
            "ledger_rule",
        ),
        _ledger(
            "a replacement with the proof of an addition",
            [*start, first, Step(unproven, {})],
            "signature_invalid",
        ),
    ]


def _removals() -> list[dict[str, Any]]:
    start, first = _start(), _bind(DEVICE)
    removed = [*start, first, _unbind(DEVICE, "key_removed_by_admin")]
    return [
        _ledger("a removed key", removed, keys=[]),
        _ledger("a removed key, bound again", [*removed, first], "ledger_rule"),
        _ledger(
            "a removed key, bound to another member",
            [*removed, _bind(DEVICE, OTHER_MEMBER)],
            "ledger_rule",
        ),
        _ledger("a key bound twice", [*start, first, first], "ledger_rule"),
        _ledger(
            "a key bound to two members",
            [*start, first, _bind(DEVICE, OTHER_MEMBER)],
            "ledger_rule",
        ),
        _ledger("a key removed twice", [*removed, removed[-1]], "ledger_rule"),
        _ledger(
            "another member's key removed",
            [*start, first, _unbind(DEVICE, "key_removed_by_admin", OTHER_MEMBER)],
            "ledger_rule",
        ),
    ]


def _epochs() -> list[dict[str, Any]]:
    """A removed key's epochs end: nothing is granted in them any more."""
    two = next_roster_digest(EMPTY_ROSTER_DIGEST, sorted([MEMBER, OTHER_MEMBER]), ())
    opened = [
        *_start(),
        _bind(DEVICE),
        _bind(OTHERS, OTHER_MEMBER),
        _reconcile(
            None,
            1,
            [(MEMBER, DEVICE), (OTHER_MEMBER, OTHERS)],
            opens=True,
            joined=[MEMBER, OTHER_MEMBER],
            roster=two,
        ),
        _step(_bound(SECOND, endorser=DEVICE)),
        _unbind(DEVICE, "key_removed_by_member"),
    ]
    granted = [(MEMBER, SECOND), (OTHER_MEMBER, OTHERS)]
    closed = Step(EpochClosed(GROUP, 4, 1, (), (), two), {})
    both = [DEVICE, OTHERS, SECOND]
    return [
        _ledger(
            "an epoch that a removed key holds is kept",
            [*opened, _reconcile(4, 1, granted[:1], opens=False, roster=two)],
            "ledger_rule",
        ),
        _ledger(
            "the epoch is closed and the next one opens",
            [*opened, closed, _reconcile(7, 2, granted, opens=True, roster=two)],
            keys=both[1:],
        ),
        _ledger(
            "the next epoch opens at once",
            [*opened, _reconcile(4, 2, granted, opens=True, roster=two)],
            keys=both[1:],
        ),
        _ledger(
            "the removed key is granted the next epoch",
            [
                *opened,
                _reconcile(4, 2, [(MEMBER, DEVICE), granted[1]], opens=True, roster=two),
            ],
            "ledger_rule",
        ),
    ]


def _parts() -> list[dict[str, Any]]:
    start, first = _start(), _bind(DEVICE)
    name = GroupNamePart(fixed("salt"), "Finance", "00g1").to_bytes()
    named = GroupNamed(GROUP, None, part_digest(PartKind.GROUP_NAME, name))
    pinned = _step(_bound(DEVICE, mode=TrustMode.PIN))
    trusting = replace(CREATED, trust_mode=TrustMode.PIN, trust_settings_digest=_PIN)
    vendor_trusted = Step(trusting, {PartKind.SEALED_KEYSET: KEYSET})
    return [
        _ledger("the person was erased", [*start, Step(first.body, {})], keys=[DEVICE]),
        _ledger(
            "another sealed person",
            [*start, Step(first.body, {PartKind.SEALED_SUBJECT: fixed("another")})],
            "part_mismatch",
        ),
        _ledger(
            "a sealed person that nothing commits to",
            [*start, Step(pinned.body, {PartKind.SEALED_SUBJECT: SUBJECT})],
            "part_mismatch",
        ),
        _ledger("a group's name", [*start, Step(named, {PartKind.GROUP_NAME: name})], keys=[]),
        _ledger("a group's name is missing", [*start, Step(named, {})], "part_mismatch"),
        _ledger(
            "no settings of trust: vendor-trusted",
            [vendor_trusted, pinned],
            keys=[DEVICE],
            trust=_PIN,
        ),
    ]


def _ledger(
    name: str,
    steps: Sequence[Step],
    expected: str = "accept",
    keys: Sequence[DeviceKeys] = (),
    trust: bytes | None = None,
) -> dict[str, Any]:
    entries = [
        {
            "bytes": Entry(ORGANISATION, position, TIME_MS + position, step.body).to_bytes().hex(),
            "parts": {str(int(kind)): part.hex() for kind, part in step.parts.items()},
        }
        for position, step in enumerate(steps)
    ]
    if expected != "accept":
        return case(name, expected, entries=entries)
    return case(
        name,
        entries=entries,
        keys=sorted(key.key_id.hex() for key in keys),
        trust_settings_digest=trust or TRUST.digest(),
    )
