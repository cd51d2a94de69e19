"""Test vectors of what vouches for a key, run through the product's own parsers and verifiers."""

import json
from typing import Any

import pytest

from encryption_service.oidc.id_token import Expected, check_claims, read_header, verify_signature
from encryption_service.oidc.opening import EvidenceOpener
from encryption_service.oidc.signing_keys import read_key_set
from encryption_service.secret_bytes import SecretBytes
from encryption_service.subject_vault import SubjectVault
from groupseal.approval_documents import ApprovalRequest, SignedApproval
from groupseal.approvals import ApprovalStatement
from groupseal.bindings import BindingRequest
from groupseal.encoding import Reader
from groupseal.evidence import (
    Evidence,
    Subject,
    evidence_info,
    evidence_nonce,
    sealed_subject_context,
)
from groupseal.key_removal import KeyRemoval
from groupseal.ledger import LedgerVerifier
from groupseal.merkle import CompactRange
from groupseal.parts import PartKind
from groupseal.projection import Projection
from groupseal.suites import Suite
from groupseal.trust import MembershipCheck, TrustMode, TrustSettings
from member_client.hpke import XWingSeed
from member_client.key_file import DeviceKeys, SigningSeed
from tests.support.vector_files import Case, cases, outcome
from tools.make_vectors import FOLDER

OF_TOKENS = {"id_token", "issuer", "client_id", "nonce", "subject", "subject_claim"}
OF_SETTINGS = {"issuer", "client_id", "subject_claim", "membership_source"}


def request_of(case: Case) -> BindingRequest:
    return BindingRequest(
        case["organisation"],
        case["member"],
        Suite(case["suite"]),
        case["hpke_public_key"],
        case["signing_public_key"],
        case["replaces"],
    )


def nonce_of(case: Case) -> str:
    return evidence_nonce(
        case["organisation_key"],
        case["issuer"],
        case["client_id"],
        request_of(case),
        case["salt"],
    )


def signature_of(case: Case) -> bytes:
    """Made again from the signer's seed."""
    keys = DeviceKeys.from_seeds(XWingSeed(bytes(32)), SigningSeed(case["seed"]))
    return keys.sign(case["message"])


@pytest.mark.parametrize("case", cases("evidence.json", "documents", OF_TOKENS))
def test_evidence_documents(case: Case) -> None:
    evidence = outcome(lambda: Evidence.from_bytes(case["bytes"]), case)
    if evidence is not None:
        assert evidence == Evidence(case["salt"], case["id_token"])
        assert evidence.to_bytes() == case["bytes"]
        assert evidence.digest() == case["digest"]


@pytest.mark.parametrize("case", cases("evidence.json", "nonces", OF_TOKENS))
def test_nonces(case: Case) -> None:
    assert nonce_of(case) == case["nonce"]


def test_a_nonce_commits_to_the_keys_and_names_no_member() -> None:
    """Other keys, another salt or another request is another nonce; another member is not."""
    by_name = {
        case["name"]: case["nonce"]
        for case in json.loads((FOLDER / "evidence.json").read_text())["nonces"]
    }
    assert by_name.pop("for another member, the same") == by_name["to add a device"]
    assert len(set(by_name.values())) == len(by_name)


@pytest.mark.parametrize("case", cases("evidence.json", "tokens", OF_TOKENS))
def test_id_tokens(case: Case) -> None:
    """Signature, audience, times and nonce, by the code of the encryption service."""

    def check() -> Any:
        keys = read_key_set(json.dumps(case["key_set"]).encode())
        header = read_header(case["id_token"])
        payload = verify_signature(case["id_token"], header, keys)
        expected = Expected(
            case["issuer"], case["client_id"], case["subject_claim"], nonce_of(case)
        )
        return check_claims(payload, expected, case["now_ms"])

    token = outcome(check, case)
    if token is not None:
        assert (token.subject, token.issued_at_ms) == (case["subject"], case["issued_at_ms"])


@pytest.mark.parametrize("case", cases("evidence.json", "sealed"))
def test_sealed_evidence(case: Case) -> None:
    """The recorded document opens with the evidence seed, for its own keys alone."""
    request, opener = request_of(case), EvidenceOpener(SecretBytes(case["evidence_seed"]))
    evidence = outcome(lambda: opener.open(request, case["sealed"]), case)
    if evidence is not None:
        info = evidence_info(request.organisation, request.member, request.key_id)
        assert info == case["info"]
        assert evidence.to_bytes() == case["document"]


@pytest.mark.parametrize("case", cases("subjects.json", text={"issuer", "subject"}))
def test_subjects(case: Case) -> None:
    subject = outcome(lambda: Subject.from_bytes(case["bytes"]), case)
    if subject is not None:
        assert subject == Subject(case["issuer"], case["subject"], case["salt"])
        assert subject.to_bytes() == case["bytes"]
        assert subject.digest() == case["digest"]


@pytest.mark.parametrize("case", cases("subjects.json", "sealed"))
def test_sealed_subjects(case: Case) -> None:
    keys = {case["key_version"]: SecretBytes(case["key_encryption_key"])}
    subject = SubjectVault(case["organisation"], keys).unseal(case["part"], case["member"])
    assert subject.to_bytes() == case["bytes"]
    context = sealed_subject_context(case["organisation"], case["member"])
    assert context == case["associated_data"]


@pytest.mark.parametrize("case", cases("trust_settings.json", text=OF_SETTINGS))
def test_trust_settings(case: Case) -> None:
    def read() -> TrustSettings:
        reader = Reader(case["bytes"])
        found = TrustSettings.read(reader)
        reader.end()
        return found

    settings = outcome(read, case)
    if settings is not None:
        assert settings.digest() == case["digest"]
        assert settings == TrustSettings(
            TrustMode(case["mode"]),
            case["issuer"],
            case["client_id"],
            case["subject_claim"],
            MembershipCheck(case["membership_check"]),
            case["membership_source"],
        )


@pytest.mark.parametrize("case", cases("requests.json"))
def test_requests(case: Case) -> None:
    """Proofs of possession and endorsements, of additions and of replacements."""
    request = request_of(case)

    def verify() -> bool:
        if case["kind"] == "possession":
            request.verify_possession(case["signature"])
        else:
            request.verify_endorsement(case["signer"], case["signature"])
        return True

    if outcome(verify, case):
        assert request.key_id == case["key_id"]
        possession = case["kind"] == "possession"
        message = request.message() if possession else request.endorsement_message()
        assert message == case["message"]
        assert signature_of(case) == case["signature"]


@pytest.mark.parametrize("case", cases("requests.json", "removals"))
def test_removals(case: Case) -> None:
    removal = KeyRemoval(case["organisation"], case["member"], case["key_id"])

    def verify() -> bool:
        removal.verify(case["signer"], case["signature"])
        return True

    if outcome(verify, case):
        assert removal.message() == case["message"]
        assert signature_of(case) == case["signature"]


@pytest.mark.parametrize("case", cases("approvals.json"))
def test_approvals(case: Case) -> None:
    statement = ApprovalStatement(
        case["organisation"], case["group"], case["member"], case["key_id"], case["expires_ms"]
    )

    def verify() -> bool:
        statement.verify(case["approver_key"], case["signature"])
        return True

    if outcome(verify, case):
        assert statement.message() == case["message"]
        assert signature_of(case) == case["signature"]


@pytest.mark.parametrize("case", cases("approvals.json", "documents"))
def test_approval_documents(case: Case) -> None:
    """Each has one form: what is read and written again is the same text."""

    def read() -> ApprovalRequest | SignedApproval:
        data = case["text"].encode()
        if case["kind"] == "request":
            return ApprovalRequest.from_json(data)
        return SignedApproval.from_json(data)

    document = outcome(read, case)
    if document is not None:
        assert document.to_json() == case["text"]
    if isinstance(document, SignedApproval):
        document.statement.verify(document.approver_key, document.signature)


@pytest.mark.parametrize("case", cases("ledgers.json"))
def test_ledgers(case: Case) -> None:
    """Every entry but the last is accepted; with the last one happens what is declared."""
    shared = json.loads((FOLDER / "ledgers.json").read_text())
    organisation, public_key = (
        bytes.fromhex(shared[name]) for name in ("organisation", "public_key")
    )
    projection = Projection()
    verifier = LedgerVerifier(organisation, public_key, CompactRange(), projection.group_state)

    def add(entry: dict[str, Any]) -> Projection:
        parts = {PartKind(int(kind)): bytes.fromhex(p) for kind, p in entry["parts"].items()}
        projection.apply(verifier.add(bytes.fromhex(entry["bytes"]), parts))
        return projection

    *before, last = case["entries"]
    for entry in before:
        add(entry)
    found = outcome(lambda: add(last), case)
    if found is not None:
        assert sorted(key.hex() for key in found.keys) == case["keys"]
        assert found.trust.digest() == case["trust_settings_digest"]
