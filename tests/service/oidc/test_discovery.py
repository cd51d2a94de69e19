"""Where the provider says its keys are, and which of what it publishes is a key."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, Key, OctKey, RSAKey

from encryption_service.oidc.errors import EvidenceError
from encryption_service.oidc.id_token import read_header, verify_signature
from encryption_service.oidc.signing_keys import MAX_KEYS, KeySetError, read_key_set
from encryption_service.outbound_http import OutboundHttp
from groupseal.evidence import evidence_nonce
from groupseal.reasons import Reason
from tests.support.evidence_makers import Enrolment, Service, trust_in
from tests.support.identity_provider import IdentityProvider
from tests.support.tls_server import Page, WebServer

UNAVAILABLE = Reason.IDENTITY_PROVIDER_UNAVAILABLE
_KEY = RSAKey.generate_key(2048, auto_kid=True)


class Liar:
    """A provider whose documents the test writes, on this machine."""

    def __init__(self, web: WebServer, http: OutboundHttp, base: IdentityProvider) -> None:
        self.web = web
        self.issuer = web.url("")
        self.key: Key = _KEY
        self.publish({"issuer": self.issuer, "jwks_uri": web.url("/keys")})
        self.publish_keys(self.key)
        self.enrolment = Enrolment(base)
        self.service = Service(
            self.enrolment.organisation, trust_in(base, issuer=self.issuer), http
        )

    def publish(self, document: Any, **page: Any) -> None:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.web.pages["/.well-known/openid-configuration"] = Page(body, **page)

    def publish_keys(self, *keys: Key, **parameters: object) -> None:
        self.web.pages["/keys"] = Page(_set(*keys, **parameters))

    def refusal(self, key: Key | None = None, alg: str = "RS256") -> Reason | None:
        """Why a token that this provider signed is refused; None: it is accepted."""
        provider = self.enrolment.provider
        token = provider.mint(self._claims(), key=key or self.key, alg=alg)
        try:
            self.service.verify(self.enrolment, token)
        except EvidenceError as error:
            return error.reason
        return None

    def _claims(self) -> dict[str, Any]:
        provider, organisation = self.enrolment.provider, self.enrolment.organisation
        nonce = evidence_nonce(
            organisation.signing_public_key,
            self.issuer,
            provider.client_id,
            self.enrolment.request,
            self.enrolment.salt,
        )
        return self.enrolment.claims(iss=self.issuer, nonce=nonce)


@pytest.fixture
def liar(http: OutboundHttp, identity_provider: IdentityProvider) -> Iterator[Liar]:
    with WebServer() as web:
        yield Liar(web, http, identity_provider)


class TestDiscovery:
    def test_what_a_provider_has_to_say_is_enough(self, liar: Liar) -> None:
        assert liar.refusal() is None

    def test_a_slash_at_the_end_of_the_issuer_is_part_of_it(
        self, liar: Liar, http: OutboundHttp
    ) -> None:
        """As Auth0's issuers have; the document's path is appended without doubling it."""
        issuer = f"{liar.issuer}/"
        trust = trust_in(liar.enrolment.provider, issuer=issuer)
        liar.service = Service(liar.enrolment.organisation, trust, http)
        assert liar.refusal() is UNAVAILABLE
        assert "another issuer" in liar.service.verifier.provider_fault
        liar.issuer = issuer
        liar.publish({"issuer": issuer, "jwks_uri": liar.web.url("/keys")})
        liar.service.restarted()
        assert liar.refusal() is None

    @pytest.mark.parametrize("issuer", ["https://evil.example.com", "", None, 1])
    def test_a_document_that_names_another_issuer_is_refused(
        self, liar: Liar, issuer: object
    ) -> None:
        liar.publish({"issuer": issuer, "jwks_uri": liar.web.url("/keys")})
        assert liar.refusal() is UNAVAILABLE
        assert "another issuer" in liar.service.verifier.provider_fault
        assert [path for _, path, _, _ in liar.web.requests] == [
            "/.well-known/openid-configuration"
        ]

    @pytest.mark.parametrize(
        "jwks_uri",
        [
            "https://169.254.169.254/latest/meta-data",
            "http://10.0.0.1/keys",
            "https://[fe80::1]/keys",
            "http://ada:pw@127.0.0.1/keys",
            "file:///etc/passwd",
            "/keys",
            "",
            None,
            1,
        ],
    )
    def test_keys_are_not_fetched_from_where_they_cannot_be(
        self, liar: Liar, jwks_uri: object
    ) -> None:
        liar.publish({"issuer": liar.issuer, "jwks_uri": jwks_uri})
        assert liar.refusal() is UNAVAILABLE
        assert liar.service.verifier.provider_fault

    def test_keys_on_a_private_address_are_refused_unless_allowed(self, liar: Liar) -> None:
        """A public provider's document that points into the customer's own network."""
        liar.service.http = OutboundHttp()
        liar.service.restarted()
        assert liar.refusal() is UNAVAILABLE
        assert not liar.web.requests

    @pytest.mark.parametrize(
        "document",
        [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"issuer": NaN}', b"[" * 100_000],
    )
    def test_what_is_no_document_is_refused(self, liar: Liar, document: bytes) -> None:
        liar.publish(document)
        assert liar.refusal() is UNAVAILABLE

    @pytest.mark.parametrize("status", [301, 302, 307, 404, 500, 203])
    def test_another_status_than_200_is_no_answer(self, liar: Liar, status: int) -> None:
        """A redirect is not followed: whoever it leads to is not whom the customer named."""
        location = (("Location", liar.web.url("/keys")),)
        document = {"issuer": liar.issuer, "jwks_uri": liar.web.url("/keys")}
        liar.publish(document, status=status, headers=location)
        assert liar.refusal() is UNAVAILABLE
        assert f"answered {status}" in liar.service.verifier.provider_fault

    def test_documents_have_a_size(self, liar: Liar) -> None:
        filler = "x" * 600_000
        liar.publish({"issuer": liar.issuer, "jwks_uri": liar.web.url("/keys"), "x": filler})
        assert liar.refusal() is UNAVAILABLE
        assert "longer than" in liar.service.verifier.provider_fault


class TestKeySets:
    def test_keys_have_a_number(self, liar: Liar) -> None:
        liar.publish_keys(*[liar.key] * (MAX_KEYS + 1))
        assert liar.refusal() is UNAVAILABLE
        liar.publish_keys(*[liar.key] * MAX_KEYS)
        liar.service.restarted()
        assert liar.refusal() is None

    @pytest.mark.parametrize(
        ("parameters", "accepted"),
        [
            ({"use": "sig"}, True),
            ({"use": "enc"}, False),
            ({"use": 1}, False),
            ({"key_ops": ["verify"]}, True),
            ({"key_ops": ["encrypt"]}, False),
            ({"key_ops": "verify"}, False),
            ({"alg": "RS256"}, True),
            ({"alg": "RS512"}, False),
            ({"alg": "RSA-OAEP"}, False),
            ({"alg": 1}, False),
            ({"kid": 1}, False),
            ({"kty": "EC"}, False),
            ({"n": 1}, False),
            ({"n": "!"}, False),
            ({"e": "AAAAAAAAAAAB"}, False),
        ],
    )
    def test_a_key_is_used_for_what_it_is_published_for(
        self, liar: Liar, parameters: dict[str, object], accepted: bool
    ) -> None:
        liar.publish_keys(liar.key, **parameters)
        assert liar.refusal() is (None if accepted else Reason.EVIDENCE_INVALID)

    def test_a_published_private_key_is_passed_over(self, liar: Liar) -> None:
        """Everybody can sign with it."""
        jwk = liar.key.as_dict(private=True)
        liar.web.pages["/keys"] = Page(json.dumps({"keys": [jwk]}).encode())
        assert liar.refusal() is Reason.EVIDENCE_INVALID

    def test_a_published_symmetric_key_is_passed_over(self, liar: Liar) -> None:
        secret = OctKey.import_key("0" * 64, {"kid": "shared"})
        jwk = secret.as_dict(private=True)
        liar.web.pages["/keys"] = Page(json.dumps({"keys": [jwk]}).encode())
        assert liar.refusal(secret, "HS256") is Reason.EVIDENCE_INVALID

    def test_a_short_rsa_key_is_passed_over(self, liar: Liar) -> None:
        short = _weak_rsa_key()
        liar.publish_keys(short)
        assert liar.refusal(short) is Reason.EVIDENCE_INVALID
        assert read_key_set(_set(short)) == ()

    @pytest.mark.parametrize("curve", ["P-256", "P-384", "P-521"])
    def test_a_curve_has_its_algorithm(self, liar: Liar, curve: str) -> None:
        key = ECKey.generate_key(curve, auto_kid=True)
        liar.publish_keys(key)
        alg = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}[curve]
        assert liar.refusal(key, alg) is None

    def test_a_damaged_key_does_not_spoil_the_others(self, liar: Liar) -> None:
        body = json.loads(_set(liar.key))
        strange: list[object] = [
            {},
            None,
            1,
            {"kty": "RSA"},
            {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        ]
        strange += [{"kty": "OKP", "crv": "Ed448", "x": "AA"}, {"kty": ["RSA"]}, {"kty": "new"}]
        body["keys"] = [*strange, *body["keys"]]
        liar.web.pages["/keys"] = Page(json.dumps(body).encode())
        assert liar.refusal() is None

    def test_two_keys_with_one_id_are_both_tried(self, liar: Liar) -> None:
        other = RSAKey.generate_key(2048)
        liar.publish_keys(other, liar.key, kid=liar.key.kid)
        assert liar.refusal() is None

    def test_a_key_verifies_with_its_algorithms_and_no_others(self, liar: Liar) -> None:
        """Whoever hands keys to the verification need not have chosen them by the header."""
        token = liar.enrolment.provider.mint({}, key=liar.key)
        header = read_header(token)
        assert verify_signature(token, header, read_key_set(_set(liar.key))) == b"{}"
        for parameters in ({"alg": "PS256"}, {"kid": "another"}):
            with pytest.raises(EvidenceError):
                verify_signature(token, header, read_key_set(_set(liar.key, **parameters)))

    @given(st.binary(max_size=300))
    def test_any_bytes_are_a_set_or_an_error(self, data: bytes) -> None:
        with pytest.raises(KeySetError):
            read_key_set(data)

    @given(
        st.dictionaries(
            st.sampled_from(
                ["kty", "crv", "n", "e", "x", "y", "d", "use", "key_ops", "alg", "kid"]
            ),
            st.sampled_from(["RSA", "EC", "OKP", "P-256", "Ed25519", "AQAB", "sig", "", "verify"])
            | st.text(max_size=100)
            | st.none()
            | st.integers()
            | st.lists(st.text(max_size=5), max_size=2),
        )
    )
    @settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
    def test_any_key_is_used_or_passed_over(self, jwk: dict[str, object]) -> None:
        for key in read_key_set(json.dumps({"keys": [jwk]}).encode()):
            assert key.algorithms


def _set(*keys: Key, **parameters: object) -> bytes:
    published = [{**key.as_dict(private=False), **parameters} for key in keys]
    return json.dumps({"keys": published}).encode()


def _weak_rsa_key() -> Key:
    private = rsa.generate_private_key(65537, 1024)  # noqa: S505 - a key that must be refused
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with pytest.warns(SecurityWarning):
        return RSAKey.import_key(pem, {"kid": "short"})
