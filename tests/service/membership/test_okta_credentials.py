"""The service's key pair at Okta: `private_key_jwt`, verified for real by the stand-in."""

import json
import logging
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from encryption_service.membership.okta import OktaSource
from encryption_service.membership.okta_credentials import okta_client_credentials
from encryption_service.membership.rate_limits import RateGovernor
from encryption_service.membership.secret_file import SecretFile
from encryption_service.membership.source import SourceUnavailableError
from encryption_service.outbound_http import OutboundHttp
from groupseal.reasons import Reason
from tests.service.membership.conftest import Time
from tests.support.okta_api import OktaApi

CLIENT = "0oa-the-service"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def pem(key: Any, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    return bytes(key.private_bytes(Encoding.PEM, form, NoEncryption()))


def jwk(key: Any, **more: str) -> bytes:
    algorithms = jwt.algorithms
    if isinstance(key, rsa.RSAPrivateKey):
        return json.dumps({**algorithms.RSAAlgorithm.to_jwk(key, as_dict=True), **more}).encode()
    return json.dumps({**algorithms.ECAlgorithm.to_jwk(key, as_dict=True), **more}).encode()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "private-key"


@pytest.fixture
def clock() -> Time:
    time_now = Time()
    time_now.ms = int(time.time() * 1000)
    return time_now


@pytest.fixture
def source(okta: OktaApi, http: OutboundHttp, key_file: Path, clock: Time) -> OktaSource:
    okta.add_client(CLIENT, RSA_KEY.public_key())
    key_file.write_bytes(pem(RSA_KEY))
    governor = RateGovernor("okta", clock)
    credential = okta_client_credentials(
        http, okta.url, SecretFile(key_file), client_id=CLIENT, governor=governor, clock=clock
    )
    return OktaSource(http, okta.url, credential, governor)


def tokens_asked_for(okta: OktaApi) -> int:
    return okta.paths().count("/oauth2/v1/token")


class TestTheKey:
    @pytest.mark.parametrize(
        ("key", "content"),
        [
            (RSA_KEY, pem(RSA_KEY)),
            (RSA_KEY, pem(RSA_KEY, PrivateFormat.TraditionalOpenSSL)),
            (RSA_KEY, jwk(RSA_KEY, kid="first")),
            (EC_KEY, pem(EC_KEY)),
            (EC_KEY, jwk(EC_KEY, kid="second", alg="ES256")),
        ],
        ids=["rsa-pem", "rsa-pkcs1", "rsa-jwk", "ec-pem", "ec-jwk"],
    )
    def test_proves_the_client(
        self, okta: OktaApi, source: OktaSource, key_file: Path, key: Any, content: bytes
    ) -> None:
        okta.add_client(CLIENT, key.public_key())
        key_file.write_bytes(content)
        finance = okta.add_group("Finance")
        assert source.group(finance)

    def test_of_a_jwk_is_named_by_its_id(
        self, okta: OktaApi, source: OktaSource, key_file: Path
    ) -> None:
        key_file.write_bytes(jwk(RSA_KEY, kid="first"))
        source.group(okta.add_group("Finance"))
        assertion = okta.requests[0].form["client_assertion"]
        assert jwt.get_unverified_header(assertion) == {
            "alg": "RS256",
            "kid": "first",
            "typ": "JWT",
        }

    def test_that_is_not_registered_is_refused_with_the_remedy(
        self, source: OktaSource, key_file: Path
    ) -> None:
        key_file.write_bytes(pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)))
        with pytest.raises(SourceUnavailableError, match=r"401 \(invalid_client\): compare"):
            source.group("00gany")

    @pytest.mark.parametrize(
        "content",
        [
            b"not a key",
            b"{",
            b"{}",
            b'{"kty":"oct","k":"c2VjcmV0"}',
            pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)),  # noqa: S505
            pem(ed25519.Ed25519PrivateKey.generate()),
            pem(ec.generate_private_key(ec.SECP384R1())),
            RSA_KEY.private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
            ),
            json.dumps(
                jwt.algorithms.RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True)
            ).encode(),
        ],
        ids=["text", "json", "empty", "oct", "short", "ed25519", "p384", "password", "public"],
    )
    def test_of_another_kind_is_refused_without_being_shown(
        self, okta: OktaApi, source: OktaSource, key_file: Path, content: bytes
    ) -> None:
        key_file.write_bytes(content)
        with pytest.raises(SourceUnavailableError, match="no usable private key") as caught:
            source.group("00gany")
        assert okta.requests == []
        assert caught.value.__cause__ is None
        for line in content.decode().splitlines():
            assert len(line) < 5 or line not in str(caught.value)

    def test_that_was_rotated_makes_a_new_token_at_once(
        self, okta: OktaApi, source: OktaSource, key_file: Path
    ) -> None:
        finance = okta.add_group("Finance")
        assert source.group(finance)
        okta.add_client(CLIENT, EC_KEY.public_key())
        okta.expire_access_tokens()
        key_file.write_bytes(pem(EC_KEY))
        assert source.group(finance)
        assert tokens_asked_for(okta) == 2


class TestTheToken:
    def test_is_asked_for_once_for_the_two_scopes(self, okta: OktaApi, source: OktaSource) -> None:
        finance = okta.add_group("Finance")
        for _ in range(5):
            source.group(finance)
        assert tokens_asked_for(okta) == 1
        assert okta.requests[0].form["scope"] == "okta.groups.read okta.users.read"

    def test_is_renewed_a_minute_before_its_end(
        self, okta: OktaApi, source: OktaSource, clock: Time
    ) -> None:
        okta.token_life_seconds = 280
        finance = okta.add_group("Finance")
        source.group(finance)
        clock.pass_seconds(okta.token_life_seconds - 61)
        source.group(finance)
        assert tokens_asked_for(okta) == 1
        clock.pass_seconds(2)
        source.group(finance)
        assert tokens_asked_for(okta) == 2

    def test_that_okta_does_not_take_any_more_is_replaced(
        self, okta: OktaApi, source: OktaSource
    ) -> None:
        finance = okta.add_group("Finance")
        source.group(finance)
        okta.expire_access_tokens()
        assert source.group(finance)
        assert tokens_asked_for(okta) == 2

    def test_each_assertion_is_used_once(self, okta: OktaApi, source: OktaSource) -> None:
        finance = okta.add_group("Finance")
        for _ in range(3):
            assert source.group(finance)
            okta.expire_access_tokens()
        seen = [
            request.form["client_assertion"]
            for request in okta.requests
            if request.path == "/oauth2/v1/token"
        ]
        assert len(set(seen)) == len(seen)

    def test_without_the_scopes_says_which_to_grant(
        self, okta: OktaApi, source: OktaSource
    ) -> None:
        okta.scopes_granted = {"okta.groups.read"}
        with pytest.raises(SourceUnavailableError, match=r"invalid_scope.*okta\.users\.read"):
            source.group("00gany")

    def test_that_demands_proof_of_possession_says_what_to_switch_off(
        self, okta: OktaApi, source: OktaSource
    ) -> None:
        """Okta switches DPoP on in new apps."""
        okta.requires_dpop = True
        with pytest.raises(SourceUnavailableError, match=r"invalid_dpop_proof.*switch off"):
            source.group("00gany")

    def test_waits_for_the_limit_of_its_endpoint(self, okta: OktaApi, source: OktaSource) -> None:
        okta.use_up_limits()
        with pytest.raises(SourceUnavailableError) as caught:
            source.group("00gany")
        assert caught.value.reason is Reason.MEMBERSHIP_SOURCE_LIMITED

    @pytest.mark.parametrize(
        "answer",
        [
            {},
            [],
            {"token_type": "DPoP", "access_token": "a", "expires_in": 3600},
            {"token_type": "Bearer", "access_token": "a\r\nX-Evil: 1", "expires_in": 3600},
            {"token_type": "Bearer", "access_token": "", "expires_in": 3600},
            {"token_type": "Bearer", "access_token": "a", "expires_in": "soon"},
            {"token_type": "Bearer", "access_token": "a", "expires_in": True},
            {"token_type": "Bearer", "access_token": "a", "expires_in": -1},
        ],
    )
    def test_that_is_none_is_not_used(
        self, okta: OktaApi, source: OktaSource, answer: object
    ) -> None:
        okta.token_answer = answer
        with pytest.raises(SourceUnavailableError, match="token"):
            source.group("00gany")
        assert okta.paths() == ["/oauth2/v1/token"]

    def test_neither_key_nor_token_shows(
        self, okta: OktaApi, source: OktaSource, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.DEBUG):
            source.group(okta.add_group("Finance"))
        token = okta.requests[-1].headers["authorization"].removeprefix("Bearer ")
        credential = source._client._credential
        assert token not in repr(vars(credential))
        assert token not in caplog.text
        assert "PRIVATE" not in caplog.text + repr(vars(credential))
