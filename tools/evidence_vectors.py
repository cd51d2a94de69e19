"""Test vectors of evidence: documents, nonces, ID tokens, sealed documents, and persons."""

import base64
import json
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from groupseal.bindings import BindingRequest
from groupseal.encoding import Writer
from groupseal.evidence import (
    Evidence,
    Subject,
    evidence_info,
    evidence_nonce,
    sealed_subject_context,
)
from groupseal.labels import Label
from groupseal.suites import Suite
from member_client import hpke
from member_client.hpke import XWingSeed
from tools.vector_case import Vectors, case
from tools.vector_inputs import (
    DEVICE,
    MEMBER,
    MEMBERS,
    ORGANISATION,
    PUBLIC_KEY,
    REPLACEMENT,
    REQUEST,
    SECOND_REQUEST,
    TIME_MS,
    TRUST,
    fields_of,
    fixed,
)

EVIDENCE_SEED = fixed("organisation's evidence key")
SALT = fixed("salt of the nonce")
SUBJECT = Subject(TRUST.issuer, "00u1", fixed("salt of the subject"))
PROVIDER = Ed25519PrivateKey.from_private_bytes(fixed("identity provider's signing key"))
ISSUED_S = TIME_MS // 1000


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def nonce_of(request: BindingRequest, salt: bytes = SALT) -> str:
    return evidence_nonce(PUBLIC_KEY, TRUST.issuer, TRUST.client_id, request, salt)


def id_token(request: BindingRequest = REQUEST, *, alg: str = "EdDSA", **claims: Any) -> str:
    """Signed with the provider's key (RFC 8037), and the same every time."""
    header = {"alg": alg, "kid": "1", "typ": "JWT"}
    body = {
        "iss": TRUST.issuer,
        "sub": SUBJECT.subject,
        "aud": TRUST.client_id,
        "iat": ISSUED_S,
        "exp": ISSUED_S + 3600,
        "auth_time": ISSUED_S - 5,
        "nonce": nonce_of(request),
        **claims,
    }
    signed = ".".join(
        base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (header, body)
    )
    signature = b"" if alg == "none" else PROVIDER.sign(signed.encode())
    return f"{signed}.{base64url(signature)}"


def key_set(key: Ed25519PrivateKey = PROVIDER) -> dict[str, Any]:
    """The provider's JWK Set (RFC 7517)."""
    x = base64url(key.public_key().public_bytes_raw())
    return {"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "1", "use": "sig", "x": x}]}


DOCUMENT = Evidence(SALT, id_token())


def record_evidence() -> bytes:
    """The document, sealed for the device of these vectors."""
    info = evidence_info(ORGANISATION, MEMBER, DEVICE.key_id)
    return hpke.seal(DOCUMENT.to_bytes(), hpke.public_key(XWingSeed(EVIDENCE_SEED)), info)


def evidence(recorded: bytes) -> Vectors:
    return {
        "section": "2",
        "documents": _documents(),
        "nonces": _nonces(),
        "tokens": _tokens(),
        "sealed": _sealed(recorded),
    }


def _documents() -> list[dict[str, Any]]:
    data = DOCUMENT.to_bytes()
    other = Writer(Label.SUBJECT).fixed(SALT, 32).text(DOCUMENT.id_token).bytes()
    foreign = Writer(Label.EVIDENCE).fixed(SALT, 32).text("tökén").bytes()
    return [
        case(
            "a document",
            salt=SALT,
            id_token=DOCUMENT.id_token,
            bytes=data,
            digest=DOCUMENT.digest(),
        ),
        case("another label", "malformed", bytes=other),
        case("a token that is not ASCII", "malformed", bytes=foreign),
        case("a byte left over", "malformed", bytes=data + b"\0"),
        case("a byte missing", "malformed", bytes=data[:-1]),
    ]


def _nonces() -> list[dict[str, Any]]:
    common: dict[str, Any] = {"issuer": TRUST.issuer, "client_id": TRUST.client_id}
    x25519 = BindingRequest(
        ORGANISATION, MEMBER, Suite.X25519, fixed("an X25519 key"), DEVICE.signing_public_key
    )
    other_salt = fixed("another salt of the nonce")
    requests = (
        ("to add a device", REQUEST, SALT),
        ("to replace the others", REPLACEMENT, SALT),
        ("with another salt", REQUEST, other_salt),
        ("for another member, the same", replace(REQUEST, member=MEMBERS[1]), SALT),
        ("of the other suite", x25519, SALT),
    )
    return [
        case(
            name,
            organisation_key=PUBLIC_KEY,
            **common,
            **fields_of(request),
            salt=salt,
            nonce=nonce_of(request, salt),
        )
        for name, request, salt in requests
    ]


def _tokens() -> list[dict[str, Any]]:
    """Whether a token vouches for the request, at a time and by the provider's keys."""
    common: dict[str, Any] = {
        "organisation_key": PUBLIC_KEY,
        "issuer": TRUST.issuer,
        "client_id": TRUST.client_id,
        "subject_claim": TRUST.subject_claim,
        "salt": SALT,
        "now_ms": TIME_MS + 1000,
        "key_set": key_set(),
        **fields_of(REQUEST),
    }
    another = Ed25519PrivateKey.from_private_bytes(fixed("another provider's key"))
    invalid, other_keys = "evidence_invalid", "evidence_for_other_keys"
    other_client = "evidence_for_another_client"
    good = id_token()
    refused: list[tuple[str, str, str, dict[str, Any]]] = [
        ("for a replacement", other_keys, good, {"replaces": True}),
        ("asked for a replacement", other_keys, id_token(REPLACEMENT), {}),
        ("for another device", other_keys, id_token(SECOND_REQUEST), {}),
        ("with another salt", other_keys, good, {"salt": fixed("another salt of the nonce")}),
        (
            "of another organisation",
            other_keys,
            good,
            {"organisation_key": fixed("another organisation's key")},
        ),
        ("without a nonce", other_keys, id_token(nonce=None), {}),
        ("of another client", other_client, id_token(aud="another"), {}),
        ("of several audiences", other_client, id_token(aud=[TRUST.client_id, "another"]), {}),
        ("for another party", other_client, id_token(azp="another"), {}),
        ("expired", "evidence_expired", good, {"now_ms": TIME_MS + 3_660_000}),
        ("not issued yet", invalid, good, {"now_ms": TIME_MS - 60_001}),
        ("of another issuer", invalid, id_token(iss=TRUST.issuer + "/"), {}),
        ("without a subject", invalid, id_token(sub=""), {}),
        ("unsigned", invalid, id_token(alg="none"), {}),
        ("of another algorithm", invalid, id_token(alg="HS256"), {}),
        ("by another key", invalid, good, {"key_set": key_set(another)}),
    ]
    accepted: dict[str, Any] = {"subject": SUBJECT.subject, "issued_at_ms": TIME_MS}
    return [
        case("vouches for the keys", **common, id_token=good, **accepted),
        case(
            "of one audience in a list",
            **common,
            id_token=id_token(aud=[TRUST.client_id]),
            **accepted,
        ),
        case(
            "a minute after its end",
            **{**common, "now_ms": TIME_MS + 3_659_999},
            id_token=good,
            **accepted,
        ),
        *(
            case(name, reason, **{**common, **changed}, id_token=token)
            for name, reason, token, changed in refused
        ),
    ]


def _sealed(recorded: bytes) -> list[dict[str, Any]]:
    here: dict[str, Any] = {
        **fields_of(REQUEST),
        "evidence_seed": EVIDENCE_SEED,
        "sealed": recorded,
    }
    others: dict[str, Any] = {
        "organisation": bytes(16),
        "member": MEMBERS[1],
        "signing_public_key": SECOND_REQUEST.signing_public_key,
        "evidence_seed": fixed("another evidence key"),
        "sealed": recorded[:-1] + bytes([recorded[-1] ^ 1]),
    }
    return [
        case(
            "opens",
            **here,
            info=evidence_info(ORGANISATION, MEMBER, DEVICE.key_id),
            document=DOCUMENT.to_bytes(),
        ),
        *(
            case(f"another {name.replace('_', ' ')}", "evidence_invalid", **{**here, name: other})
            for name, other in others.items()
        ),
    ]


def subjects() -> Vectors:
    """A person's digest in the ledger, and the sealed part beside it."""
    data = SUBJECT.to_bytes()
    context = sealed_subject_context(ORGANISATION, MEMBER)
    key, nonce = fixed("key-encryption key"), fixed("nonce of the subject", 12)
    body = nonce + AESGCM(key).encrypt(nonce, data, context)
    other = Writer(Label.SUBJECT).hash(SUBJECT.salt).text(SUBJECT.issuer).text("00u1").bytes()
    return {
        "section": "2",
        "cases": [
            case(
                "a person",
                issuer=SUBJECT.issuer,
                subject=SUBJECT.subject,
                salt=SUBJECT.salt,
                digest=SUBJECT.digest(),
                bytes=data,
            ),
            case("the label of the digest", "malformed", bytes=other),
            case("a byte left over", "malformed", bytes=data + b"\0"),
            case("a byte missing", "malformed", bytes=data[:-1]),
        ],
        "sealed": [
            case(
                "sealed for the ledger",
                organisation=ORGANISATION,
                member=MEMBER,
                key_version=1,
                key_encryption_key=key,
                associated_data=context,
                part=Writer().u32(1).var(body).bytes(),
                bytes=data,
            )
        ],
    }
