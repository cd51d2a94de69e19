"""Test vectors of what else vouches for a key: settings, requests, endorsements, approvals."""

from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from groupseal.approval_documents import ApprovalRequest, SignedApproval
from groupseal.approvals import ApprovalStatement
from groupseal.bindings import BindingRequest
from groupseal.encoding import Writer
from groupseal.identifiers import fingerprint, key_fingerprint
from groupseal.key_removal import KeyRemoval
from groupseal.trust import VENDOR_TRUSTED, MembershipCheck, TrustMode, TrustSettings
from tools.vector_case import Vectors, case
from tools.vector_inputs import (
    DEVICE,
    GROUP,
    MEMBER,
    MEMBERS,
    ORGANISATION,
    OTHER_GROUP,
    OTHERS,
    PUBLIC_KEY,
    SECOND,
    SECOND_REQUEST,
    TIME_MS,
    TRUST,
    fields_of,
    fixed,
)

APPROVER = Ed25519PrivateKey.from_private_bytes(fixed("approver's signing key"))
APPROVER_KEY = APPROVER.public_key().public_bytes_raw()


def trust_settings() -> Vectors:
    settings = {
        "vendor-trusted": VENDOR_TRUSTED,
        "evidence, and membership at Okta": TRUST,
        "evidence, and membership at Entra, observed": TrustSettings(
            TrustMode.OIDC,
            "https://login.example/tenant/v2.0",
            "client",
            "oid",
            MembershipCheck.OBSERVE,
            "entra",
        ),
        "approvers": TrustSettings(TrustMode.APPROVE),
    }
    cases = []
    for name, each in settings.items():
        writer = Writer()
        each.write(writer)
        cases.append(
            case(
                name,
                mode=int(each.mode),
                issuer=each.issuer,
                client_id=each.client_id,
                subject_claim=each.subject_claim,
                membership_check=int(each.membership_check),
                membership_source=each.membership_source,
                bytes=writer.bytes(),
                digest=each.digest(),
            )
        )
    plain = bytes.fromhex(cases[0]["bytes"])
    cases += [
        case("mode 0", "malformed", bytes=b"\0" + plain[1:]),
        case("mode 4", "malformed", bytes=b"\4" + plain[1:]),
        case("check 0", "malformed", bytes=plain[:-5] + b"\0" + plain[-4:]),
        case("check 4", "malformed", bytes=plain[:-5] + b"\4" + plain[-4:]),
        case("a byte left over", "malformed", bytes=plain + b"\0"),
    ]
    return {"section": "3", "cases": cases}


def requests() -> Vectors:
    """What a device signs about keys. `seed` is the signer's, `signer` its public key."""
    first, second = DEVICE, SECOND
    seeds = {
        first.signing_public_key: fixed("device signing"),
        second.signing_public_key: fixed("second device signing"),
    }

    def signed(name: str, kind: str, request: BindingRequest, signer: bytes) -> dict[str, Any]:
        message = request.message() if kind == "possession" else request.endorsement_message()
        signature = Ed25519PrivateKey.from_private_bytes(seeds[signer]).sign(message)
        return case(
            name,
            kind=kind,
            **fields_of(request),
            key_id=request.key_id,
            seed=seeds[signer],
            signer=signer,
            message=message,
            signature=signature,
        )

    adds = SECOND_REQUEST
    replaces = replace(adds, replaces=True)
    own, bound = second.signing_public_key, first.signing_public_key
    good = [
        signed("binding request", "possession", adds, own),
        signed("replacement request", "possession", replaces, own),
        signed("endorsement", "endorsement", adds, bound),
        signed("endorsement of a replacement", "endorsement", replaces, bound),
    ]
    binding, _, endorsement, _ = good
    key_id = adds.key_id
    return {
        "section": "2",
        "cases": [
            *good,
            _refused(binding, "a binding request as a replacement", replaces=True),
            _refused(endorsement, "an endorsement as one of a replacement", replaces=True),
            _refused(endorsement, "an endorsement as proof of possession", kind="possession"),
            _refused(binding, "a proof of possession as an endorsement", kind="endorsement"),
            _refused(endorsement, "for another member", member=MEMBERS[1]),
            _refused(endorsement, "for another organisation", organisation=bytes(16)),
            _refused(endorsement, "by another key", signer=OTHERS.signing_public_key),
        ],
        "removals": _removals(key_id, seeds[bound], bound),
    }


def _removals(key_id: bytes, seed: bytes, signer: bytes) -> list[dict[str, Any]]:
    removal = KeyRemoval(ORGANISATION, MEMBER, key_id)
    message = removal.message()
    good = case(
        "removal",
        organisation=ORGANISATION,
        member=MEMBER,
        key_id=key_id,
        seed=seed,
        signer=signer,
        message=message,
        signature=Ed25519PrivateKey.from_private_bytes(seed).sign(message),
    )
    return [
        good,
        _refused(good, "of another key", key_id=DEVICE.key_id),
        _refused(good, "of another member", member=MEMBERS[1]),
        _refused(good, "in another organisation", organisation=bytes(16)),
        _refused(good, "by another key", signer=OTHERS.signing_public_key),
    ]


def _refused(good: dict[str, Any], name: str, **changed: Any) -> dict[str, Any]:
    """The same signature in another place: refused. What was signed is not shown."""
    kept = {key: value for key, value in good.items() if key not in {"message", "seed", "key_id"}}
    if "key_id" in good and "kind" not in good:
        kept["key_id"] = good["key_id"]
    shown = case(name, "signature_invalid", **changed)
    return {**kept, **shown}


def approvals() -> Vectors:
    of_group = ApprovalStatement(ORGANISATION, GROUP, MEMBER, DEVICE.key_id, TIME_MS)
    of_key = replace(of_group, group=None)
    good = [_approval("into a group", of_group), _approval("of a key", of_key)]
    into_group, of_the_key = good
    return {
        "section": "2",
        "cases": [
            *good,
            _refused_approval(into_group, "into another group", group=OTHER_GROUP),
            _refused_approval(into_group, "into a group, as one of the key", group=None),
            _refused_approval(of_the_key, "of a key, as one into a group", group=GROUP),
            _refused_approval(into_group, "of another member", member=MEMBERS[1]),
            _refused_approval(into_group, "of another key", key_id=SECOND.key_id),
            _refused_approval(into_group, "with another date", expires_ms=TIME_MS + 1),
            _refused_approval(into_group, "in another organisation", organisation=bytes(16)),
            _refused_approval(into_group, "by another key", approver_key=PUBLIC_KEY),
        ],
        "documents": _approval_documents(of_group, of_key),
    }


def _approval(name: str, statement: ApprovalStatement) -> dict[str, Any]:
    message = statement.message()
    return case(
        name,
        organisation=statement.organisation,
        group=statement.group,
        member=statement.member,
        key_id=statement.key_id,
        expires_ms=statement.expires_ms,
        seed=fixed("approver's signing key"),
        approver_key=APPROVER_KEY,
        message=message,
        signature=APPROVER.sign(message),
    )


def _refused_approval(good: dict[str, Any], name: str, **changed: Any) -> dict[str, Any]:
    kept = {key: value for key, value in good.items() if key not in {"message", "seed"}}
    return {**kept, **case(name, "signature_invalid", **changed)}


def _approval_documents(
    of_group: ApprovalStatement, of_key: ApprovalStatement
) -> list[dict[str, Any]]:
    asked = ApprovalRequest(
        organisation=ORGANISATION,
        organisation_fingerprint=fingerprint(PUBLIC_KEY),
        group=GROUP,
        group_name="Finance",
        member=MEMBER,
        user_name="ada@example.com",
        external_id="00u1",
        key_id=DEVICE.key_id,
    ).to_json()
    signed = [
        SignedApproval(each, APPROVER_KEY, APPROVER.sign(each.message())).to_json()
        for each in (of_group, of_key)
    ]
    own, other = key_fingerprint(DEVICE.key_id), key_fingerprint(SECOND.key_id)
    upper = DEVICE.key_id.hex()
    return [
        case("a request", kind="request", text=asked),
        case("an approval into a group", kind="approval", text=signed[0]),
        case("an approval of a key", kind="approval", text=signed[1]),
        case(
            "a fingerprint of another key",
            "malformed",
            kind="request",
            text=asked.replace(own, other),
        ),
        case(
            "another version",
            "malformed",
            kind="approval",
            text=signed[0].replace('"version": 1', '"version": 2'),
        ),
        case(
            "a field too many",
            "malformed",
            kind="approval",
            text=signed[0].replace("{", '{"note": "",', 1),
        ),
        case(
            "a field that is there twice",
            "malformed",
            kind="approval",
            text=signed[0].replace("{", '{"version": 1,', 1),
        ),
        case(
            "a key id in capitals",
            "malformed",
            kind="approval",
            text=signed[0].replace(upper, upper.upper()),
        ),
        case("a request as an approval", "malformed", kind="approval", text=asked),
    ]
