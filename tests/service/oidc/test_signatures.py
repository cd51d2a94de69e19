"""Who signed a token, and with what: the attacks on JSON Web Signatures (RFC 8725)."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, RSAKey

from encryption_service.oidc.verifier import EvidenceError
from groupseal.reasons import Reason
from tests.support.evidence_makers import Enrolment, Service, refusal
from tests.support.identity_provider import sign_compact, sign_message

Refused = Callable[[str], Reason]


def encode(part: dict[str, Any] | bytes) -> str:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TestNobodySigned:
    @pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", ""])
    def test_alg_none_is_refused(self, enrolment: Enrolment, refused: Refused, alg: str) -> None:
        header, claims = encode({"alg": alg}), encode(enrolment.claims())
        for token in (f"{header}.{claims}.", f"{header}.{claims}.AA", f"{header}.{claims}"):
            assert refused(token) is Reason.EVIDENCE_INVALID

    def test_alg_none_with_the_providers_key_id_is_refused(
        self, enrolment: Enrolment, refused: Refused
    ) -> None:
        token = enrolment.provider.mint(enrolment.claims(), alg="none")
        assert refused(token) is Reason.EVIDENCE_INVALID

    def test_a_signature_left_out_is_refused(self, enrolment: Enrolment, refused: Refused) -> None:
        token = enrolment.provider.mint(enrolment.claims())
        assert refused(token.rpartition(".")[0] + ".") is Reason.EVIDENCE_INVALID

    def test_a_changed_payload_is_refused(self, enrolment: Enrolment, refused: Refused) -> None:
        """Another person's token with the subject changed."""
        header, _, signature = enrolment.provider.mint(enrolment.claims()).split(".")
        token = f"{header}.{encode(enrolment.claims(sub='eve'))}.{signature}"
        assert refused(token) is Reason.EVIDENCE_INVALID

    def test_a_changed_header_is_refused(self, enrolment: Enrolment, refused: Refused) -> None:
        _, claims, signature = enrolment.provider.mint(enrolment.claims()).split(".")
        header = encode({"alg": "RS256", "kid": enrolment.provider.key.kid, "x": 1})
        assert refused(f"{header}.{claims}.{signature}") is Reason.EVIDENCE_INVALID


class TestConfusion:
    @pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
    @pytest.mark.parametrize("form", ["pem", "der", "pkcs1", "modulus", "jwk"])
    def test_the_public_key_is_no_shared_secret(
        self, enrolment: Enrolment, refused: Refused, alg: str, form: str
    ) -> None:
        """The published key as HMAC secret, in every form in which a library may keep it."""
        public = enrolment.provider.key.public_key
        assert isinstance(public, RSAPublicKey)
        spki, pkcs1 = (
            serialization.PublicFormat.SubjectPublicKeyInfo,
            serialization.PublicFormat.PKCS1,
        )
        secret = {
            "pem": public.public_bytes(serialization.Encoding.PEM, spki),
            "der": public.public_bytes(serialization.Encoding.DER, spki),
            "pkcs1": public.public_bytes(serialization.Encoding.PEM, pkcs1),
            "modulus": public.public_numbers().n.to_bytes(256, "big"),
            "jwk": json.dumps(enrolment.provider.key.as_dict(private=False)).encode(),
        }[form]
        header = {"alg": alg, "kid": enrolment.provider.key.kid}
        message = f"{encode(header)}.{encode(enrolment.claims())}"
        digest = getattr(hashlib, alg.replace("HS", "sha"))
        token = f"{message}.{encode(hmac.new(secret, message.encode(), digest).digest())}"
        assert refused(token) is Reason.EVIDENCE_INVALID

    @pytest.mark.parametrize("alg", ["ES256", "EdDSA"])
    def test_an_algorithm_is_for_its_type_of_key(
        self, enrolment: Enrolment, refused: Refused, alg: str
    ) -> None:
        """The header names a curve's algorithm and the key id of an RSA key."""
        provider = enrolment.provider
        key = provider.elliptic_key if alg == "ES256" else provider.edwards_key
        token = provider.mint(
            enrolment.claims(), key=key, alg=alg, headers={"kid": provider.key.kid}
        )
        assert refused(token) is Reason.EVIDENCE_INVALID

    @pytest.mark.parametrize("alg", ["ES384", "ES512", "ES256K", "RS1", "HS256", "Ed448", "dir"])
    def test_an_algorithm_that_no_key_is_for_is_refused(
        self, enrolment: Enrolment, refused: Refused, alg: str
    ) -> None:
        header = {"alg": alg, "kid": enrolment.provider.elliptic_key.kid}
        token = f"{encode(header)}.{encode(enrolment.claims())}.{encode(bytes(64))}"
        assert refused(token) is Reason.EVIDENCE_INVALID

    def test_ecdsa_signature_of_zeros_is_refused(
        self, enrolment: Enrolment, refused: Refused
    ) -> None:
        header = {"alg": "ES256", "kid": enrolment.provider.elliptic_key.kid}
        for signature in (bytes(64), bytes(0), bytes(63), b"\x30\x06\x02\x01\x00\x02\x01\x00"):
            token = f"{encode(header)}.{encode(enrolment.claims())}.{encode(signature)}"
            assert refused(token) is Reason.EVIDENCE_INVALID

    def test_one_algorithm_is_not_taken_for_another_of_the_same_key(
        self, enrolment: Enrolment, refused: Refused
    ) -> None:
        """A PSS signature under a header that says PKCS #1, and the other way round."""
        provider, claims = enrolment.provider, enrolment.claims()
        for said, used in (("RS256", "PS256"), ("PS256", "RS256"), ("RS512", "RS256")):
            header = {"alg": said, "kid": provider.key.kid}
            assert refused(sign_compact(header, claims, provider.key, used)) is (
                Reason.EVIDENCE_INVALID
            )


class TestKeysOfAnAttacker:
    def test_a_key_id_of_the_provider_does_not_make_a_key_the_providers(
        self, enrolment: Enrolment, refused: Refused
    ) -> None:
        own = RSAKey.generate_key(2048)
        token = enrolment.provider.mint(
            enrolment.claims(), key=own, headers={"kid": enrolment.provider.key.kid}
        )
        assert refused(token) is Reason.EVIDENCE_INVALID

    def test_an_unknown_key_id_is_refused(self, enrolment: Enrolment, refused: Refused) -> None:
        own = RSAKey.generate_key(2048, auto_kid=True)
        token = enrolment.provider.mint(enrolment.claims(), key=own)
        assert refused(token) is Reason.EVIDENCE_INVALID

    @pytest.mark.parametrize("own_kid", [True, False])
    def test_keys_that_a_header_carries_or_points_to_are_not_looked_at(
        self, enrolment: Enrolment, service: Service, own_kid: bool
    ) -> None:
        """`jwk`, `jku`, `x5u`, `x5c` (RFC 7515, section 4.1): no request leaves for them."""
        provider = enrolment.provider
        own = RSAKey.generate_key(2048, auto_kid=True)
        key_set = f"{provider.issuer}/attackers-keys.json"
        headers = {
            "jwk": own.as_dict(private=False),
            "jku": key_set,
            "x5u": key_set,
            "x5c": [
                base64.b64encode(
                    own.public_key.public_bytes(
                        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
                    )
                ).decode()
            ],
            "kid": own.kid if own_kid else provider.key.kid,
        }
        token = provider.mint(enrolment.claims(), key=own, headers=headers)
        assert refusal(service, enrolment, token) is Reason.EVIDENCE_INVALID
        assert "/attackers-keys.json" not in provider.requests

    def test_a_symmetric_key_signs_nothing(self, enrolment: Enrolment, refused: Refused) -> None:
        secret = OctKey.import_key("0" * 64, {"kid": "shared"})
        token = enrolment.provider.mint(enrolment.claims(), key=secret, alg="HS256")
        assert refused(token) is Reason.EVIDENCE_INVALID

    def test_another_key_of_the_same_curve_is_refused(
        self, enrolment: Enrolment, refused: Refused
    ) -> None:
        own = ECKey.generate_key("P-256")
        token = enrolment.provider.mint(
            enrolment.claims(),
            key=own,
            alg="ES256",
            headers={"kid": enrolment.provider.elliptic_key.kid},
        )
        assert refused(token) is Reason.EVIDENCE_INVALID


class TestHeaders:
    @pytest.mark.parametrize(
        "headers",
        [
            {"crit": ["exp"]},
            {"crit": ["b64"], "b64": True},
            {"crit": []},
            {"b64": False},
            {"typ": "at+jwt"},
            {"typ": "logout+jwt"},
            {"typ": 1},
            {"kid": 1},
            {"kid": ["x"]},
            {"kid": "k" * 300},
            {"alg": None},
            {"alg": ["RS256"]},
        ],
    )
    def test_is_refused_though_the_signature_is_good(
        self, enrolment: Enrolment, refused: Refused, headers: dict[str, object]
    ) -> None:
        token = enrolment.provider.mint(enrolment.claims(), headers=headers)
        assert refused(token) is Reason.EVIDENCE_INVALID

    @pytest.mark.parametrize("typ", ["JWT", "jwt", None])
    def test_an_id_token_is_of_no_other_type(
        self, enrolment: Enrolment, service: Service, typ: str | None
    ) -> None:
        token = enrolment.provider.mint(enrolment.claims(), headers={"typ": typ})
        service.verify(enrolment, token)

    def test_a_name_given_twice_is_refused(self, enrolment: Enrolment, refused: Refused) -> None:
        """Which of the two counts is the reader's choice: somebody else's may be the other."""
        claims = json.dumps(enrolment.claims())
        twice = claims[:-1] + ', "sub": "eve"}'
        header = {"alg": "RS256", "kid": enrolment.provider.key.kid}
        message = f"{encode(header)}.{encode(twice.encode())}"
        token = sign_message(message, enrolment.provider.key, "RS256")
        assert refused(token) is Reason.EVIDENCE_INVALID

    @pytest.mark.parametrize("payload", [b"", b"[]", b"null", b"{", b"\xff", b'{"exp": NaN}'])
    def test_a_payload_that_is_no_object_is_refused(
        self, enrolment: Enrolment, refused: Refused, payload: bytes
    ) -> None:
        header = {"alg": "RS256", "kid": enrolment.provider.key.kid}
        token = sign_message(f"{encode(header)}.{encode(payload)}", enrolment.provider.key, "RS256")
        assert refused(token) is Reason.EVIDENCE_INVALID

    def test_a_payload_nested_without_end_is_refused(
        self, enrolment: Enrolment, refused: Refused
    ) -> None:
        header = {"alg": "RS256", "kid": enrolment.provider.key.kid}
        token = sign_message(
            f"{encode(header)}.{encode(b'[' * 9_000)}", enrolment.provider.key, "RS256"
        )
        assert refused(token) is Reason.EVIDENCE_INVALID


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_CLAIMS = st.dictionaries(
    st.sampled_from(["iss", "sub", "aud", "azp", "exp", "iat", "nbf", "nonce", "auth_time", "acr"]),
    _JSON,
)
_HEADERS = st.dictionaries(
    st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "jku", "zip", "enc"]), _JSON
)
_SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


class TestAnything:
    """Nothing that the vendor or a member sends ends in another error than EvidenceError."""

    @given(st.text(st.characters(max_codepoint=127), max_size=300))
    @_SHARED
    def test_as_token(self, enrolment: Enrolment, service: Service, token: str) -> None:
        with pytest.raises(EvidenceError):
            service.verify(enrolment, token)

    @given(st.binary(max_size=3000))
    @_SHARED
    def test_as_sealed_evidence(
        self, enrolment: Enrolment, service: Service, sealed: bytes
    ) -> None:
        with pytest.raises(EvidenceError):
            service.verifier.verify(enrolment.request, sealed)

    @given(_HEADERS, st.binary(max_size=100), st.binary(max_size=300))
    @_SHARED
    def test_as_header_payload_and_signature(
        self,
        enrolment: Enrolment,
        service: Service,
        header: dict[str, Any],
        payload: bytes,
        signature: bytes,
    ) -> None:
        known = {"alg": "RS256", "kid": enrolment.provider.key.kid, **header}
        for head in (header, known):
            with pytest.raises(EvidenceError):
                service.verify(enrolment, f"{encode(head)}.{encode(payload)}.{encode(signature)}")

    @given(_CLAIMS)
    @_SHARED
    def test_as_signed_claims(
        self, enrolment: Enrolment, service: Service, claims: dict[str, Any]
    ) -> None:
        """Good claims, some replaced: accepted only if what was replaced does not matter."""
        whole = {**enrolment.claims(), **claims}
        try:
            found = service.verify(enrolment, enrolment.provider.mint(whole))
        except EvidenceError:
            return
        assert found.subject == whole["sub"]
        assert set(claims) <= {"sub", "auth_time", "acr", "exp", "iat", "nbf", "aud"}
