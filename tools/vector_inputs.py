"""What the test vectors are made from: fixed seeds, and one entry of each type."""

import hashlib
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from groupseal.bindings import BindingRequest
from groupseal.entries import (
    Approval,
    Body,
    EpochClosed,
    Generation,
    GroupNamed,
    GroupReconciled,
    KeyBound,
    KeyKind,
    KeyRefused,
    KeyRotated,
    KeyUnbound,
    OrganisationCreated,
    PolicyChanged,
    TrustChanged,
    TrustMode,
)
from groupseal.grants import Grant, encode_grants, envelope_hash, grants_root
from groupseal.ledger import EMPTY_ROSTER_DIGEST, next_roster_digest
from groupseal.parts import GroupNamePart, PartKind, part_digest
from groupseal.suites import Suite
from groupseal.trust import MembershipCheck, TrustSettings
from member_client.group_secrets import EpochKeys, GroupSecret
from member_client.hpke import XWingSeed
from member_client.key_file import DeviceKeys, SigningSeed

TIME_MS = 1_800_000_000_000


def fixed(purpose: str, length: int = 32) -> bytes:
    """Bytes that are the same every time, and different for each purpose."""
    return hashlib.shake_256(b"groupseal test vector: " + purpose.encode()).digest(length)


ORGANISATION, GROUP, OTHER_GROUP = (fixed(n, 16) for n in ("organisation", "group", "other group"))
MEMBERS = sorted(fixed(f"member {n}", 16) for n in range(3))
MEMBER = MEMBERS[0]
SIGNER = Ed25519PrivateKey.from_private_bytes(fixed("organisation's signing key"))
PUBLIC_KEY = SIGNER.public_key().public_bytes_raw()
DEVICE = DeviceKeys.from_seeds(XWingSeed(fixed("device")), SigningSeed(fixed("device signing")))
REQUEST = BindingRequest(
    ORGANISATION, MEMBER, Suite.XWING, DEVICE.hpke_public_key, DEVICE.signing_public_key
)
PROOF = DEVICE.sign(REQUEST.message())
REPLACEMENT = replace(REQUEST, replaces=True)
# Another device of the same member, and one of another member.
SECOND, OTHERS = (
    DeviceKeys.from_seeds(XWingSeed(fixed(name)), SigningSeed(fixed(f"{name} signing")))
    for name in ("second device", "another member's device")
)
SECOND_REQUEST = BindingRequest(
    ORGANISATION, MEMBER, Suite.XWING, SECOND.hpke_public_key, SECOND.signing_public_key
)
TRUST = TrustSettings(
    TrustMode.OIDC,
    "https://idp.example",
    "groupseal",
    "sub",
    MembershipCheck.ENFORCE,
    "okta",
)
SECRETS = {epoch: fixed(f"group secret {epoch}") for epoch in (1, 2)}
EPOCHS = {n: EpochKeys(GroupSecret(s), ORGANISATION, GROUP, n) for n, s in SECRETS.items()}


def fields_of(request: BindingRequest) -> dict[str, Any]:
    return {
        "organisation": request.organisation,
        "member": request.member,
        "suite": int(request.suite),
        "hpke_public_key": request.hpke_public_key,
        "signing_public_key": request.signing_public_key,
        "replaces": request.replaces,
    }


def entry_bodies() -> list[Body]:
    """One of each type, in the order of their numbers; then a key bound with everything."""
    grants = encode_grants([Grant(MEMBER, DEVICE.key_id, envelope_hash(fixed("envelope")))])
    digest, zero = next_roster_digest(EMPTY_ROSTER_DIGEST, MEMBERS, ()), bytes(32)
    left = next_roster_digest(digest, (), MEMBERS[1:2])
    name = GroupNamePart(fixed("salt"), "Finance", "00g1").to_bytes()
    keyset = part_digest(PartKind.SEALED_KEYSET, fixed("keyset"))
    secret = part_digest(PartKind.SEALED_SECRET, fixed("sealed secret"))
    public = EPOCHS[1].public_key
    return [
        OrganisationCreated(PUBLIC_KEY, b"", TrustMode.PIN, zero, keyset),
        KeyBound(
            MEMBER,
            DEVICE.key_id,
            Suite.XWING,
            DEVICE.hpke_public_key,
            DEVICE.signing_public_key,
            PROOF,
            TrustMode.PIN,
        ),
        KeyRefused(MEMBERS[1], fixed("refused key"), "another_key_is_bound"),
        KeyUnbound(MEMBER, DEVICE.key_id, "device lost"),
        GroupNamed(GROUP, None, part_digest(PartKind.GROUP_NAME, name)),
        EpochClosed(GROUP, 6, 1, (), tuple(MEMBERS[1:2]), left),
        GroupReconciled(
            *(GROUP, 4, 1, True, public, tuple(MEMBERS), (), digest),
            *(grants_root(grants), 1, secret, None),
        ),
        PolicyChanged(fixed("policy")),
        KeyRotated(KeyKind.KEY_ENCRYPTION, b"\1", b"\2", keyset, b"", b""),
        Approval(GROUP, MEMBER, DEVICE.key_id, PUBLIC_KEY, TIME_MS, bytes(64)),
        Generation(2, 10, fixed("previous root"), b""),
        TrustChanged(TRUST),
        KeyBound(
            MEMBER,
            DEVICE.key_id,
            Suite.XWING,
            DEVICE.hpke_public_key,
            DEVICE.signing_public_key,
            PROOF,
            TrustMode.OIDC,
            replaces=True,
            evidence_digest=fixed("evidence"),
            evidence_time_ms=TIME_MS,
            subject_digest=fixed("subject"),
            sealed_subject_digest=fixed("sealed subject"),
            endorsing_key_id=fixed("endorsing key"),
            endorsement=bytes(64),
        ),
    ]
