"""Attacks on the worker that its own tests (tests/worker/test_attacks.py) do not make already."""

import os
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest

from encryption_api import encryption_pb2 as pb
from groupseal.checkpoint import format_note, open_head
from groupseal.encoding import decode_byte_strings, encode_byte_strings
from groupseal.pairing import ServiceIdentity
from groupseal.reasons import Reason
from tests.support.authority import VendorAuthority
from tests.support.ledger_maker import FakeService, Messages
from tests.support.org_maker import Envelope, seal_envelope
from tests.worker.parts import Bench, Tenant
from tests.worker.test_commit import enrolled


def halted_reason(tenant: Tenant) -> object:
    return tenant.one("SELECT halted_reason FROM tenants WHERE id = %s")


def service_reason(tenant: Tenant) -> object:
    return tenant.one("SELECT service_reason FROM tenants WHERE id = %s")


def connect_with(tenant: Tenant, service: FakeService, identity: ServiceIdentity) -> None:
    """Pins another identity of the organisation than the one that answers at the address."""
    signed = replace(identity, signature=service.org.signing_key.sign(identity.message()))
    tenant.connect(signed, service.address, offline=True)
    tenant.group(tenant.users(1))
    service.calls.clear()


def with_envelopes(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[Messages], Messages]:
    """Puts others in the place of the envelopes that the service sends."""

    def tamper(messages: Messages) -> Messages:
        for message in messages:
            if message.HasField("part") and message.part.kind == pb.PART_KIND_ENVELOPES:
                envelopes = decode_byte_strings(message.part.piece)
                changed = change(envelopes)
                assert changed != envelopes
                message.part.piece = encode_byte_strings(changed)
        return messages

    return tamper


def sealed_for_another_organisation(service: FakeService, group: UUID) -> list[bytes]:
    """What another organisation might have sealed to the same devices."""
    made = service.org.groups[group.bytes]
    organisation = os.urandom(16)
    return [
        seal_envelope(
            Envelope(
                made.secrets[1],
                organisation,
                made.id,
                1,
                member,
                key_id,
                service.org.keys[key_id].hpke_public_key,
            )
        )
        for member, key_id in sorted(made.grants)
    ]


@pytest.mark.parametrize("origin", ["group", "member", "epoch", "organisation"])
def test_an_envelope_moved_from_another_place_is_refused(
    tenant: Tenant, service: FakeService, origin: str
) -> None:
    """An envelope is a leaf of its own entry: anywhere else, nothing of the chunk is applied."""
    users = enrolled(tenant, service, 3)
    first = tenant.group(users)
    tenant.reconcile()
    grants = service.org.groups[first.bytes].grants
    of_first = {pair: grants[pair].envelope for pair in sorted(grants)}
    before = tenant.rows("SELECT * FROM grants WHERE tenant_id = %s ORDER BY member_id")
    size = tenant.ledger_size()

    if origin == "epoch":
        leaver, *rest = users
        tenant.push(first, remove=[leaver])
        old = [sealed for pair, sealed in of_first.items() if pair[0] != leaver.bytes]
        assert len(old) == len(rest)
        service.tamper = with_envelopes(lambda _: old)
    else:
        tenant.group(users)
        foreign = {
            "group": lambda _: list(of_first.values()),
            "member": lambda envelopes: envelopes[1:] + envelopes[:1],
            "organisation": lambda _: sealed_for_another_organisation(service, first),
        }
        service.tamper = with_envelopes(foreign[origin])
    tenant.reconcile()
    assert halted_reason(tenant) == Reason.PART_MISMATCH
    assert tenant.ledger_size() == size
    after = tenant.rows("SELECT * FROM grants WHERE tenant_id = %s ORDER BY member_id")
    assert after == before


def test_a_head_whose_signature_is_of_another_text_is_refused(
    tenant: Tenant, service: FakeService
) -> None:
    """The right key signed it, for another time."""

    def tamper(messages: Messages) -> Messages:
        org = service.org
        for message in messages:
            if message.HasField("head"):
                honest = open_head(message.head.head, org.id, org.public_key)
                signature = org.signing_key.sign(honest.text.encode())
                later = replace(honest, time_ms=honest.time_ms + 1)
                message.head.head = format_note(later, org.public_key, signature)
        return messages

    service.tamper = tamper
    tenant.reconcile()
    assert halted_reason(tenant) == Reason.SIGNATURE_INVALID
    assert tenant.ledger_size() == 0


@pytest.mark.parametrize("name", ["fake CA", "another CA"], ids=["same name", "other name"])
def test_a_service_of_another_authority_is_told_nothing(
    tenant: Tenant, service: FakeService, name: str
) -> None:
    """TLS ends before the first call, also where the authority is called like the pinned one."""
    authority = VendorAuthority(name).certificate.decode()
    connect_with(tenant, service, replace(service.identity, server_ca=authority))
    tenant.reconcile()
    assert service_reason(tenant) == Reason.UNPINNED_SERVICE
    assert service.calls == []


def test_a_service_with_another_name_is_told_nothing(tenant: Tenant, service: FakeService) -> None:
    """The pinned authority has issued certificates for other servers too: the name counts."""
    connect_with(tenant, service, replace(service.identity, server_name="pinned.example"))
    tenant.reconcile()
    assert service_reason(tenant) == Reason.UNPINNED_SERVICE
    assert service.calls == []


def test_another_organisation_behind_the_pinned_certificate_is_told_nothing(
    tenant: Tenant, service: FakeService, bench: Bench
) -> None:
    """Authority, name and certificate are right, the signing key is not: only one question."""
    tenant.group(tenant.users(1))
    impostor = FakeService(bench.vendor_ca)
    impostor.port, impostor._credentials = service.port, service._credentials
    service.stop()
    with impostor:
        tenant.reconcile()
    assert service_reason(tenant) == Reason.UNPINNED_SERVICE
    assert impostor.calls == ["GetOrganisation"]
    assert tenant.ledger_size() == 0
