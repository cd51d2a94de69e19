"""Mode `oidc`: a key is bound by the word of the customer's own identity provider, and no other.

The provider is a real one (canaille). The vendor passes on whatever it likes.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from encryption_api import encryption_pb2 as pb
from encryption_service.binding_rules import Decision, Facts, Offer, Rules, Verdict, decide
from encryption_service.key_store import BoundKeyRow
from encryption_service.oidc.verifier import VerifiedEvidence
from encryption_service.policy.policy import DEFAULT_POLICY
from groupseal.entries import KeyBound, TrustChanged
from groupseal.parts import PartKind
from groupseal.reasons import Reason
from groupseal.suites import Suite
from groupseal.trust import MembershipCheck, TrustMode, TrustSettings
from tests.support.customer import Customer
from tests.support.devices import Device
from tests.support.identity_provider import IdentityProvider
from tests.support.vendor import Vendor

BOUND, REFUSED = pb.BINDING_OUTCOME_BOUND, pb.BINDING_OUTCOME_REFUSED
WAITING = pb.BINDING_OUTCOME_WAITING


@pytest.fixture(scope="module")
def customer(
    identity_provider: IdentityProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Customer]:
    folder = tmp_path_factory.mktemp("oidc")
    with Customer(folder, mode=TrustMode.OIDC, provider=identity_provider) as running:
        yield running


@pytest.fixture
def vendor(customer: Customer) -> Vendor:
    return customer.vendor.read()


def somebody() -> str:
    """A user whom no other test knows; the tokens are minted with the provider's keys."""
    return f"user-{os.urandom(4).hex()}"


def refused(customer: Customer, binding: pb.KeyBinding) -> str:
    (answer,) = customer.vendor.bind(binding)
    assert answer.outcome == REFUSED, answer
    return answer.reason


def test_the_whole_flow_at_the_provider_binds_the_key(
    customer: Customer, identity_provider: IdentityProvider
) -> None:
    """A token that the provider issued itself, for this device's nonce."""
    user = identity_provider.add_user(somebody())
    device, salt = customer.device(), os.urandom(32)
    token = identity_provider.id_token(user, customer.nonce(device, salt))
    binding = device.binding(sealed_evidence=customer.seal(device, salt, token))
    (answer,) = customer.vendor.bind(binding)
    assert answer.outcome == BOUND
    verified = customer.vendor.read().entries[answer.position]
    body = verified.entry.body
    assert isinstance(body, KeyBound)
    assert body.trust_mode is TrustMode.OIDC
    assert body.evidence_digest is not None
    assert body.subject_digest is not None
    assert abs((body.evidence_time_ms or 0) - time.time() * 1000) < 60_000
    # The person is named to the service alone.
    assert user.encode() not in verified.data + verified.parts[PartKind.SEALED_SUBJECT]


def test_the_ledger_says_how_the_organisation_decides(
    vendor: Vendor, identity_provider: IdentityProvider
) -> None:
    """Issuer and client id come to the members in the ledger, not by the vendor's word."""
    settings = TrustSettings(
        TrustMode.OIDC,
        identity_provider.issuer,
        identity_provider.client_id,
        "sub",
        MembershipCheck.OFF,
    )
    assert vendor.entries[1].entry.body == TrustChanged(settings)
    assert vendor.projection.trust == settings


def test_a_key_without_evidence_is_refused(customer: Customer) -> None:
    """Also the first one of a member, and one with evidence for another key."""
    user = somebody()
    device, other = customer.device(), customer.device()
    assert refused(customer, device.binding()) == Reason.EVIDENCE_NEEDED
    moved = device.binding(sealed_evidence=customer.evidence(other, user))
    assert refused(customer, moved) == Reason.EVIDENCE_INVALID
    salt = os.urandom(32)
    token = customer.provider_token(user, customer.nonce(other, salt))
    resealed = device.binding(sealed_evidence=customer.seal(device, salt, token))
    assert refused(customer, resealed) == Reason.EVIDENCE_FOR_OTHER_KEYS


def test_renewed_evidence_binds_a_key_that_was_refused(customer: Customer) -> None:
    """Expired on the way: said so; the client signs in again."""
    user, device = somebody(), customer.device()
    expired = customer.binding(device, user, exp=int(time.time()) - 600)
    assert refused(customer, expired) == Reason.EVIDENCE_EXPIRED
    (answer,) = customer.vendor.bind(customer.binding(device, user))
    assert answer.outcome == BOUND


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"aud": "another-client"}, Reason.EVIDENCE_FOR_ANOTHER_CLIENT),
        ({"azp": "another-client"}, Reason.EVIDENCE_FOR_ANOTHER_CLIENT),
        ({"iss": "https://idp.example"}, Reason.EVIDENCE_INVALID),
    ],
)
def test_a_token_for_something_else_is_no_evidence(
    customer: Customer, changes: dict[str, Any], reason: Reason
) -> None:
    device = customer.device()
    assert refused(customer, customer.binding(device, somebody(), **changes)) == reason


def test_a_token_for_several_audiences_is_no_evidence(customer: Customer) -> None:
    assert customer.provider is not None
    device = customer.device()
    several = [customer.provider.client_id, "another-client"]
    binding = customer.binding(device, somebody(), aud=several)
    assert refused(customer, binding) == Reason.EVIDENCE_FOR_ANOTHER_CLIENT


def test_one_person_is_one_member_for_ever(customer: Customer) -> None:
    """The vendor can neither give a person a second id nor a member a second person."""
    user, stranger = somebody(), somebody()
    device = customer.enrol(user)
    elsewhere = customer.device()
    assert refused(customer, customer.binding(elsewhere, user)) == (
        Reason.EVIDENCE_OF_ANOTHER_MEMBER
    )
    swapped = customer.device(device.member)
    assert refused(customer, customer.binding(swapped, stranger)) == (
        Reason.EVIDENCE_OF_ANOTHER_MEMBER
    )
    # Not even after the member's last key is gone.
    customer.vendor.remove(device.removal(device.key_id))
    again = customer.device()
    assert refused(customer, customer.binding(again, user)) == Reason.EVIDENCE_OF_ANOTHER_MEMBER


def test_evidence_of_somebody_else_than_the_pushed_user_is_refused(customer: Customer) -> None:
    """Signed in as the wrong person: SCIM externalId and the subject differ."""
    device = customer.device()
    binding = customer.binding(device, somebody())
    binding.external_id = somebody()
    assert refused(customer, binding) == Reason.EVIDENCE_OF_ANOTHER_MEMBER


def test_old_evidence_is_not_taken_once_newer_was_seen(customer: Customer) -> None:
    """The mark survives the unbinding of every key, and a restart."""
    user = somebody()
    now = int(time.time())
    old = customer.device()
    old_binding = customer.binding(old, user, iat=now - 300)
    newer = customer.device(old.member)
    assert customer.vendor.bind(customer.binding(newer, user))[0].outcome == BOUND
    assert refused(customer, old_binding) == Reason.EVIDENCE_REPLAYED
    customer.vendor.remove(newer.removal(newer.key_id))
    assert refused(customer, old_binding) == Reason.EVIDENCE_REPLAYED


def test_another_device_comes_with_evidence_or_by_a_bound_ones_signature(
    customer: Customer,
) -> None:
    user = somebody()
    first = customer.enrol(user)
    second = customer.device(first.member)
    assert customer.vendor.bind(customer.binding(second, user))[0].outcome == BOUND
    third = customer.device(first.member)
    assert customer.vendor.bind(third.binding(endorser=second))[0].outcome == BOUND


def test_replacing_takes_a_fresh_sign_in(customer: Customer) -> None:
    """A token whose sign-in is old adds a device and replaces none; `auth_time` must be there."""
    user = somebody()
    lost = customer.enrol(user)
    new = customer.device(lost.member)
    old_sign_in = int(time.time()) - 3600
    stale = customer.binding(new, user, replaces=True, auth_time=old_sign_in)
    assert refused(customer, stale) == Reason.EVIDENCE_NOT_FRESH
    silent = customer.binding(new, user, replaces=True, auth_time=None)
    assert refused(customer, silent) == Reason.EVIDENCE_NOT_FRESH
    (answer,) = customer.vendor.bind(customer.binding(new, user, replaces=True))
    assert answer.outcome == BOUND
    assert set(customer.vendor.read().projection.former_keys) >= {lost.key_id}


def test_a_token_to_add_a_device_replaces_none(customer: Customer) -> None:
    """The nonce says which of the two it is; the vendor cannot choose."""
    user = somebody()
    mine = customer.enrol(user)
    new = customer.device(mine.member)
    binding = new.binding(replaces=True)
    binding.sealed_evidence = customer.evidence(new, user)
    assert refused(customer, binding) == Reason.EVIDENCE_FOR_OTHER_KEYS
    assert mine.key_id in customer.vendor.read().projection.keys


@pytest.mark.slow
def test_a_key_waits_while_the_provider_is_away(tmp_path_factory: pytest.TempPathFactory) -> None:
    """With nothing cached it waits with a reason of its own, and is bound when offered again."""
    folder = tmp_path_factory.mktemp("away")
    with (
        IdentityProvider() as provider,
        Customer(folder, mode=TrustMode.OIDC, provider=provider) as customer,
    ):
        device = customer.device()
        binding = customer.binding(device, somebody())
        with provider.away():
            (answer,) = customer.vendor.bind(binding)
            assert answer.outcome == WAITING
            assert answer.reason == Reason.IDENTITY_PROVIDER_UNAVAILABLE
        deadline = time.monotonic() + 30
        while answer.outcome == WAITING:
            assert time.monotonic() < deadline
            (answer,) = customer.vendor.bind(binding)
        assert answer.outcome == BOUND


def test_the_policy_may_ask_for_stronger_factors(
    identity_provider: IdentityProvider, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("acr")
    policy = {"evidence": {"required_acr": ["phr"]}}
    with Customer(
        folder, mode=TrustMode.OIDC, provider=identity_provider, policy=policy
    ) as customer:
        device, user = customer.device(), somebody()
        assert refused(customer, customer.binding(device, user)) == Reason.EVIDENCE_TOO_WEAK
        weak = customer.binding(device, user, acr="pwd")
        assert refused(customer, weak) == Reason.EVIDENCE_TOO_WEAK
        assert customer.vendor.bind(customer.binding(device, user, acr="phr"))[0].outcome == BOUND


def test_keys_bound_by_the_vendors_word_open_nothing_new_after_a_change_of_mode(
    identity_provider: IdentityProvider, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """From `pin` to `oidc`: what was granted stays, new groups wait for evidence."""
    folder = tmp_path_factory.mktemp("change")
    with Customer(folder) as before:
        pinned: Device = before.enrol("ada")
        group = before.group("Team", pinned.member)
        before.vendor.read_until_granted(group, {pinned.member})
    with Customer(folder, mode=TrustMode.OIDC, provider=identity_provider) as customer:
        vendor = customer.vendor
        assert vendor.projection.trust.mode is TrustMode.OIDC
        assert vendor.granted(group) == {pinned.member}
        other = customer.group("Other", pinned.member)
        assert vendor.holds() == {(other, pinned.member): Reason.EVIDENCE_NEEDED}
        user = somebody()
        device = customer.device(pinned.member)
        assert vendor.bind(customer.binding(device, user))[0].outcome == BOUND
        vendor.read_until_granted(other, {pinned.member})
        assert (other, device.member, device.key_id) in vendor.envelopes
        assert (other, device.member, pinned.key_id) not in vendor.envelopes


def test_evidence_beside_a_signature_is_its_own_member_s_or_says_nothing(
    customer: Customer,
) -> None:
    """Another device by the old key's signature, and with it a token of somebody else.

    The signature suffices; the token changes neither who the member is nor what is told of it.
    """
    user, stranger = somebody(), somebody()
    old = customer.enrol(user)
    customer.enrol(stranger)
    new = customer.device(old.member)
    binding = new.binding(old, sealed_evidence=customer.evidence(new, stranger))
    (answer,) = customer.vendor.bind(binding)
    assert answer.outcome == BOUND
    body = customer.vendor.read().entries[answer.position].entry.body
    assert isinstance(body, KeyBound)
    assert body.endorsing_key_id == old.key_id
    assert (body.subject_digest, body.evidence_digest, body.evidence_time_ms) == (None, None, None)


def test_evidence_counts_for_more_than_the_signature_of_a_key_without_any(
    customer: Customer,
) -> None:
    """A key from before, pinned by the vendor's word, vouches for one with evidence."""
    new = customer.device()
    pinned = Device(new.organisation, new.member)
    offered = new.binding(pinned)
    evidence = VerifiedEvidence("https://idp.example", "ada", 1_000, None, None, bytes(32))
    offer = Offer(
        new.request, offered.possession_proof, pinned.key_id, offered.endorsement, evidence
    )
    request = pinned.request
    row = BoundKeyRow(
        pinned.key_id,
        pinned.member,
        request.suite,
        request.hpke_public_key,
        request.signing_public_key,
        7,
        TrustMode.PIN,
    )
    rules = Rules(TrustMode.OIDC, (Suite.XWING,), 5, DEFAULT_POLICY)
    decision = decide(offer, Facts([row]), rules, 1_000)
    assert decision == Decision(Verdict.BIND, None, TrustMode.OIDC, row, by_evidence=True)
    without = decide(replace(offer, evidence=None), Facts([row]), rules, 1_000)
    assert without == Decision(Verdict.BIND, None, TrustMode.PIN, row)


def test_a_key_that_an_approver_refused_is_not_let_in_by_another_key(customer: Customer) -> None:
    new = customer.device()
    old = Device(new.organisation, new.member)
    offered = new.binding(old)
    request = old.request
    row = BoundKeyRow(
        old.key_id,
        old.member,
        request.suite,
        request.hpke_public_key,
        request.signing_public_key,
        7,
        TrustMode.APPROVE,
    )
    offer = Offer(new.request, offered.possession_proof, old.key_id, offered.endorsement)
    rules = Rules(TrustMode.APPROVE, (Suite.XWING,), 5, DEFAULT_POLICY)
    decision = decide(offer, Facts([row], was_refused_by_approver=True), rules, 1_000)
    assert decision == Decision(Verdict.REFUSE, Reason.KEY_REFUSED_BY_APPROVER)
