"""Evidence that is good, and evidence that was good for something else."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from encryption_service.errors import SettingsError
from encryption_service.oidc.verifier import EvidenceError
from encryption_service.outbound_http import OutboundHttp
from groupseal.evidence import MAX_SEALED_EVIDENCE, Evidence
from groupseal.reasons import Reason
from groupseal.trust import VENDOR_TRUSTED
from tests.support.evidence_makers import MINUTE_MS, Enrolment, Organisation, Service, trust_in

Refused = Callable[[str], Reason]


class TestGoodEvidence:
    def test_a_token_of_the_provider_names_its_user(
        self, enrolment: Enrolment, service: Service, ada: str
    ) -> None:
        """By the provider's own flow: authorisation code with PKCE, a password, consent."""
        token = enrolment.provider.id_token(ada, enrolment.nonce())
        found = service.verify(enrolment, token)
        assert (found.issuer, found.subject) == (enrolment.provider.issuer, ada)
        assert found.digest == Evidence(enrolment.salt, token).digest()
        now = service.clock()
        assert now - MINUTE_MS < found.issued_at_ms <= now
        assert found.auth_time_ms is not None
        assert now - MINUTE_MS < found.auth_time_ms <= now
        assert found.acr is None

    def test_a_token_for_a_replacement_is_one_for_a_replacement_alone(
        self, enrolment: Enrolment, service: Service, ada: str
    ) -> None:
        lost = Enrolment(enrolment.provider, enrolment.organisation, replaces=True)
        token = enrolment.provider.mint(lost.claims())
        assert service.verify(lost, token).subject == ada
        add = replace(lost.request, replaces=False)
        with pytest.raises(EvidenceError) as refused:
            service.verifier.verify(add, lost.seal(token))
        assert refused.value.reason is Reason.EVIDENCE_FOR_OTHER_KEYS

    def test_the_claims_that_policy_asks_for_are_handed_on(
        self, enrolment: Enrolment, service: Service
    ) -> None:
        now = service.clock() // 1000
        token = enrolment.provider.mint(
            enrolment.claims(acr="urn:example:two-factors", auth_time=now - 100.5, iat=now - 50)
        )
        found = service.verify(enrolment, token)
        assert found.acr == "urn:example:two-factors"
        assert found.auth_time_ms == now * 1000 - 100_500
        assert found.issued_at_ms == (now - 50) * 1000

    def test_the_person_may_be_named_by_another_claim(
        self, enrolment: Enrolment, http: OutboundHttp
    ) -> None:
        """Okta's `uid` or Entra's `oid`, where `sub` is not what the directory knows."""
        trust = trust_in(enrolment.provider, subject_claim="oid")
        service = Service(enrolment.organisation, trust, http)
        token = enrolment.provider.mint(enrolment.claims(oid="7b0c5f7e"))
        assert service.verify(enrolment, token).subject == "7b0c5f7e"

    @pytest.mark.parametrize("audience", ["list", "text"])
    @pytest.mark.parametrize("azp", [True, False])
    def test_the_audience_is_this_client_in_either_form(
        self, enrolment: Enrolment, service: Service, audience: str, azp: bool
    ) -> None:
        client_id = enrolment.provider.client_id
        changes: dict[str, object] = {"aud": [client_id] if audience == "list" else client_id}
        if azp:
            changes["azp"] = client_id
        service.verify(enrolment, enrolment.provider.mint(enrolment.claims(**changes)))

    @pytest.mark.parametrize("alg", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
    def test_rsa(self, enrolment: Enrolment, service: Service, alg: str) -> None:
        service.verify(enrolment, enrolment.provider.mint(enrolment.claims(), alg=alg))

    def test_elliptic_curves(self, enrolment: Enrolment, service: Service) -> None:
        provider = enrolment.provider
        for key, alg in ((provider.elliptic_key, "ES256"), (provider.edwards_key, "EdDSA")):
            service.verify(enrolment, provider.mint(enrolment.claims(), key=key, alg=alg))

    def test_a_token_without_key_id_is_tried_with_every_key_that_fits(
        self, enrolment: Enrolment, service: Service
    ) -> None:
        token = enrolment.provider.mint(enrolment.claims(), headers={"kid": None})
        service.verify(enrolment, token)


class TestTimes:
    def test_expired_evidence_has_a_reason_of_its_own(
        self, enrolment: Enrolment, service: Service
    ) -> None:
        """The service may have been away; the client signs in again by itself."""
        token = enrolment.provider.mint(enrolment.claims())
        service.clock.forward(61 * MINUTE_MS + 1000)
        with pytest.raises(EvidenceError) as refused:
            service.verify(enrolment, token)
        assert refused.value.reason is Reason.EVIDENCE_EXPIRED

    @pytest.mark.parametrize(
        ("claim", "seconds", "reason"),
        [
            ("exp", -50, None),
            ("exp", -70, Reason.EVIDENCE_EXPIRED),
            ("iat", 50, None),
            ("iat", 70, Reason.EVIDENCE_INVALID),
            ("nbf", 50, None),
            ("nbf", 70, Reason.EVIDENCE_INVALID),
            ("auth_time", 50, None),
            ("auth_time", 70, Reason.EVIDENCE_INVALID),
        ],
    )
    def test_clocks_may_differ_by_a_minute(
        self,
        enrolment: Enrolment,
        service: Service,
        claim: str,
        seconds: int,
        reason: Reason | None,
    ) -> None:
        now = service.clock() // 1000
        token = enrolment.provider.mint(enrolment.claims(**{claim: now + seconds}))
        if reason is None:
            service.verify(enrolment, token)
            return
        with pytest.raises(EvidenceError) as refused:
            service.verify(enrolment, token)
        assert refused.value.reason is reason

    @pytest.mark.parametrize("claim", ["exp", "iat", "nbf", "auth_time"])
    @pytest.mark.parametrize("value", ["soon", True, [], -1, 1e300, 2**70, {}])
    def test_what_is_no_time_is_refused(
        self, enrolment: Enrolment, refused: Refused, claim: str, value: object
    ) -> None:
        token = enrolment.provider.mint(enrolment.claims(**{claim: value}))
        assert refused(token) is Reason.EVIDENCE_INVALID

    @pytest.mark.parametrize("claim", ["exp", "iat"])
    def test_a_token_says_when_it_was_issued_and_when_it_ends(
        self, enrolment: Enrolment, refused: Refused, claim: str
    ) -> None:
        token = enrolment.provider.mint(enrolment.claims(**{claim: None}))
        assert refused(token) is Reason.EVIDENCE_INVALID


class TestOfAnotherClient:
    @pytest.mark.parametrize(
        "audience",
        [
            "another-client",
            ["another-client"],
            ["groupseal-evidence", "another-client"],
            ["groupseal-evidence", "groupseal-evidence"],
            [],
            None,
            {"groupseal-evidence": 1},
            [["groupseal-evidence"]],
            "groupseal-evidence ",
        ],
    )
    def test_a_token_is_for_this_client_alone(
        self, enrolment: Enrolment, refused: Refused, audience: object
    ) -> None:
        """A phished sign-in at any other application of the customer's is worth nothing here."""
        token = enrolment.provider.mint(enrolment.claims(aud=audience))
        assert refused(token) is Reason.EVIDENCE_FOR_ANOTHER_CLIENT

    @pytest.mark.parametrize("azp", ["another-client", "", ["groupseal-evidence"], 1])
    def test_a_token_was_asked_for_by_this_client(
        self, enrolment: Enrolment, refused: Refused, azp: object
    ) -> None:
        token = enrolment.provider.mint(enrolment.claims(azp=azp))
        assert refused(token) is Reason.EVIDENCE_FOR_ANOTHER_CLIENT


class TestOfAnotherIssuer:
    @pytest.mark.parametrize("change", ["/", "x", ".example.com", "/tenant"])
    def test_the_issuer_is_the_same_letter_for_letter(
        self, enrolment: Enrolment, refused: Refused, change: str
    ) -> None:
        token = enrolment.provider.mint(enrolment.claims(iss=enrolment.provider.issuer + change))
        assert refused(token) is Reason.EVIDENCE_INVALID

    @pytest.mark.parametrize("issuer", [None, 1, [], "https://evil.example.com"])
    def test_a_token_of_nobody_is_refused(
        self, enrolment: Enrolment, refused: Refused, issuer: object
    ) -> None:
        token = enrolment.provider.mint(enrolment.claims(iss=issuer))
        assert refused(token) is Reason.EVIDENCE_INVALID


class TestForOtherKeys:
    def test_a_token_is_not_replayed_for_the_vendors_own_keys(
        self, enrolment: Enrolment, service: Service, ada: str
    ) -> None:
        """Whoever has the whole token, the salt too, and seals it anew: it is for other keys."""
        token = enrolment.provider.id_token(ada, enrolment.nonce())
        service.verify(enrolment, token)
        thief = replace(enrolment.another_device(), salt=enrolment.salt)
        with pytest.raises(EvidenceError) as refused:
            service.verify(thief, token)
        assert refused.value.reason is Reason.EVIDENCE_FOR_OTHER_KEYS

    @pytest.mark.parametrize("nonce", [None, "", "another", 1, ["x"], "\ud800", "é"])
    def test_a_token_with_another_nonce_vouches_for_other_keys(
        self, enrolment: Enrolment, refused: Refused, nonce: object
    ) -> None:
        token = enrolment.provider.mint(enrolment.claims(nonce=nonce))
        assert refused(token) is Reason.EVIDENCE_FOR_OTHER_KEYS

    def test_another_salt_vouches_for_other_keys(
        self, enrolment: Enrolment, service: Service
    ) -> None:
        token = enrolment.provider.mint(enrolment.claims())
        enrolment.salt = bytes(32)
        with pytest.raises(EvidenceError) as refused:
            service.verify(enrolment, token)
        assert refused.value.reason is Reason.EVIDENCE_FOR_OTHER_KEYS

    def test_evidence_for_one_organisation_is_none_for_another(
        self, enrolment: Enrolment, http: OutboundHttp
    ) -> None:
        """Two organisations with one provider and one client: the nonce names the organisation."""
        token = enrolment.provider.mint(enrolment.claims())
        other = Service(Organisation(), trust_in(enrolment.provider), http)
        moved = Enrolment(enrolment.provider, other.organisation, enrolment.salt)
        with pytest.raises(EvidenceError) as refused:
            other.verify(moved, token)
        assert refused.value.reason is Reason.EVIDENCE_FOR_OTHER_KEYS


class TestPerson:
    @pytest.mark.parametrize(
        "subject",
        [
            None,
            "",
            " ada",
            "ada\n",
            "a" * 256,
            1,
            True,
            ["ada"],
            {"id": "ada"},
            "\ud800",
            "a\u202eb",
        ],
    )
    def test_a_token_names_a_person(
        self, enrolment: Enrolment, refused: Refused, subject: object
    ) -> None:
        token = enrolment.provider.mint(enrolment.claims(sub=subject))
        assert refused(token) is Reason.EVIDENCE_INVALID

    def test_no_other_claim_stands_in_for_the_one_that_is_set(
        self, enrolment: Enrolment, http: OutboundHttp
    ) -> None:
        trust = trust_in(enrolment.provider, subject_claim="uid")
        service = Service(enrolment.organisation, trust, http)
        with pytest.raises(EvidenceError, match="`uid` names nobody") as refused:
            service.verify(enrolment, enrolment.provider.mint(enrolment.claims()))
        assert refused.value.reason is Reason.EVIDENCE_INVALID

    @pytest.mark.parametrize("acr", [1, ["x"], "a" * 256, "a\nb"])
    def test_acr_is_a_short_text(self, enrolment: Enrolment, refused: Refused, acr: object) -> None:
        token = enrolment.provider.mint(enrolment.claims(acr=acr))
        assert refused(token) is Reason.EVIDENCE_INVALID


class TestSealed:
    @pytest.mark.parametrize("moved_to", ["member", "key", "organisation"])
    def test_evidence_that_is_moved_stays_closed(
        self, enrolment: Enrolment, service: Service, moved_to: str
    ) -> None:
        sealed = enrolment.seal(enrolment.provider.mint(enrolment.claims()))
        service.verifier.verify(enrolment.request, sealed)
        other = enrolment.another_device().request
        moved = {
            "member": replace(enrolment.request, member=other.member),
            "organisation": replace(enrolment.request, organisation=Organisation().id),
            "key": replace(enrolment.request, signing_public_key=other.signing_public_key),
        }[moved_to]
        with pytest.raises(EvidenceError, match="not sealed for this") as refused:
            service.verifier.verify(moved, sealed)
        assert refused.value.reason is Reason.EVIDENCE_INVALID

    @pytest.mark.parametrize("length", [0, 1, 1120, 1200, MAX_SEALED_EVIDENCE])
    def test_bytes_that_nobody_sealed_do_not_open(
        self, enrolment: Enrolment, service: Service, length: int
    ) -> None:
        with pytest.raises(EvidenceError) as refused:
            service.verifier.verify(enrolment.request, bytes(length))
        assert refused.value.reason is Reason.EVIDENCE_INVALID

    def test_evidence_that_is_too_long_is_not_opened(
        self, enrolment: Enrolment, service: Service
    ) -> None:
        sealed = enrolment.seal("a" * MAX_SEALED_EVIDENCE)
        with pytest.raises(EvidenceError, match="at most 16384 bytes"):
            service.verifier.verify(enrolment.request, sealed)


class TestSettings:
    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"client_id": ""}, "OIDC_CLIENT_ID"),
            ({"subject_claim": "email"}, "OIDC_SUBJECT_CLAIM"),
            ({"issuer": "identity.example.com"}, "OIDC_ISSUER"),
            ({"issuer": "https://identity.example.com/?tenant=1"}, "OIDC_ISSUER"),
            ({"issuer": "https://ada:pw@identity.example.com/"}, "OIDC_ISSUER"),
        ],
    )
    def test_a_wrong_setting_is_named_at_the_start(
        self, enrolment: Enrolment, http: OutboundHttp, change: dict[str, str], named: str
    ) -> None:
        with pytest.raises(SettingsError, match=named):
            Service(enrolment.organisation, trust_in(enrolment.provider, **change), http)

    def test_other_trust_modes_check_no_evidence(
        self, enrolment: Enrolment, http: OutboundHttp
    ) -> None:
        with pytest.raises(SettingsError, match="mode `oidc`"):
            Service(enrolment.organisation, VENDOR_TRUSTED, http)
