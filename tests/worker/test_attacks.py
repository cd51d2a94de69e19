"""A service, or whoever stands in its place, that sends what cannot be: nothing is applied."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from encryption_api import encryption_pb2 as pb
from groupseal.checkpoint import Head, open_head
from groupseal.entries import Entry
from tests.support.ledger_maker import FakeService, Messages
from tests.support.org_maker import OrgMaker
from tests.worker.parts import Tenant
from tests.worker.test_commit import enrolled


def entries(messages: Messages) -> list[int]:
    return [at for at, m in enumerate(messages) if m.HasField("entry")]


def without(messages: Messages, first: int, last: int) -> Messages:
    return messages[:first] + messages[last:]


def changed_entry(messages: Messages) -> Messages:
    at = entries(messages)[-1]
    entry = Entry.from_bytes(messages[at].entry.entry)
    messages[at].entry.entry = replace(entry, time_ms=entry.time_ms + 1).to_bytes()
    return messages


def damaged_entry(messages: Messages) -> Messages:
    at = entries(messages)[-1]
    messages[at].entry.entry = messages[at].entry.entry[:-1]
    return messages


def left_out(messages: Messages) -> Messages:
    first, second = entries(messages)[:2]
    return without(messages, first, second)


def reordered(messages: Messages) -> Messages:
    first, second = entries(messages)[:2]
    return messages[:first] + messages[second:-1] + messages[first:second] + messages[-1:]


def cut_off(messages: Messages) -> Messages:
    return messages[:-1]


def part_left_out(messages: Messages) -> Messages:
    kinds = (pb.PART_KIND_SEALED_SECRET,)
    return [m for m in messages if not (m.HasField("part") and m.part.kind in kinds)]


def other_envelope(messages: Messages) -> Messages:
    for message in messages:
        if message.HasField("part") and message.part.kind == pb.PART_KIND_ENVELOPES:
            piece = bytearray(message.part.piece)
            piece[-1] ^= 1
            message.part.piece = bytes(piece)
    return messages


def other_grants(messages: Messages) -> Messages:
    for message in messages:
        if message.HasField("part") and message.part.kind == pb.PART_KIND_GRANTS:
            piece = bytearray(message.part.piece)
            piece[-1] ^= 1
            message.part.piece = bytes(piece)
    return messages


def foreign_entry(messages: Messages) -> Messages:
    at = entries(messages)[-1]
    entry = Entry.from_bytes(messages[at].entry.entry)
    messages[at].entry.entry = replace(entry, organisation=bytes(16)).to_bytes()
    return messages


def after_the_newest_head(messages: Messages) -> Messages:
    return [*messages, messages[0]]


def mixed_up_pieces(messages: Messages) -> Messages:
    for message in messages:
        if message.HasField("part"):
            message.part.last = False
    return messages


@pytest.mark.parametrize(
    ("tamper", "reason"),
    [
        (changed_entry, "ledger_forked"),
        (damaged_entry, "malformed"),
        (left_out, "ledger_order"),
        (reordered, "ledger_order"),
        (cut_off, "ledger_order"),
        (part_left_out, "part_mismatch"),
        (other_envelope, "part_mismatch"),
        (other_grants, "part_mismatch"),
        (foreign_entry, "wrong_organisation"),
        (after_the_newest_head, "malformed"),
        (mixed_up_pieces, "malformed"),
    ],
)
def test_what_does_not_verify_halts_the_tenant(
    tenant: Tenant,
    service: FakeService,
    tamper: Callable[[Messages], Messages],
    reason: str,
) -> None:
    """Nothing of it is applied; the reason is shown; nothing more is done until somebody acts."""
    users = enrolled(tenant, service, 2)
    tenant.reconcile()
    size = tenant.ledger_size()
    group = tenant.group(users)
    service.tamper = tamper
    tenant.reconcile()
    assert tenant.one("SELECT halted_reason FROM tenants WHERE id = %s") == reason
    if tamper is not after_the_newest_head:
        assert tenant.ledger_size() == size
        assert tenant.committed(group) == set()
        assert tenant.one("SELECT last_position FROM groups WHERE tenant_id = %s") is None
        assert tenant.rows("SELECT key_id FROM grants WHERE tenant_id = %s") == []
    calls = len(service.calls)
    tenant.make_due()
    tenant.reconcile()
    assert len(service.calls) == calls
    assert tenant.one("SELECT reason FROM groups WHERE tenant_id = %s") == reason
    assert tenant.kinds().count("service_down") == 1


def forged_heads(signer: OrgMaker, service: FakeService) -> Callable[[Messages], Messages]:
    """Heads over the right bytes, signed by somebody else."""

    def tamper(messages: Messages) -> Messages:
        org = service.org
        for message in messages:
            if message.HasField("head"):
                honest = open_head(message.head.head, org.id, org.public_key)
                message.head.head = signer.sign(honest)
        return messages

    return tamper


def test_a_head_by_another_key_is_refused(tenant: Tenant, service: FakeService) -> None:
    service.tamper = forged_heads(OrgMaker(), service)
    tenant.reconcile()
    assert tenant.one("SELECT halted_reason FROM tenants WHERE id = %s") == "signature_invalid"
    assert tenant.ledger_size() == 0


def test_a_head_of_another_organisation_is_refused(tenant: Tenant, service: FakeService) -> None:
    def tamper(messages: Messages) -> Messages:
        for message in messages:
            if message.HasField("head"):
                head = Head(bytes(16), 1, bytes(32), 1)
                message.head.head = service.org.sign(head)
        return messages

    service.tamper = tamper
    tenant.reconcile()
    assert tenant.one("SELECT halted_reason FROM tenants WHERE id = %s") == "wrong_organisation"


def test_a_second_history_is_refused(tenant: Tenant, service: FakeService) -> None:
    """The service signs other entries than those that were read before."""
    tenant.reconcile()
    enrolled(tenant, service, 1)
    tenant.reconcile()
    last = Entry.from_bytes(service.org.entries[-1])
    service.org.entries[-1] = replace(last, time_ms=last.time_ms + 1).to_bytes()
    tenant.run("UPDATE tenants SET ledger_read_at = NULL WHERE id = %s", tenant.id)
    tenant.reconcile()
    assert tenant.one("SELECT halted_reason FROM tenants WHERE id = %s") == "ledger_forked"


def test_a_shorter_ledger_is_waited_for_and_nothing_is_sent_on_it(
    tenant: Tenant, service: FakeService
) -> None:
    """The service runs on an old copy of its volume: `ledger_behind`, not a halt."""
    enrolled(tenant, service, 1)
    tenant.reconcile()
    whole = list(service.org.entries)
    service.org.entries = whole[:1]
    tenant.run("UPDATE tenants SET ledger_read_at = NULL WHERE id = %s", tenant.id)
    tenant.reconcile()
    row = tenant.one("SELECT service_reason, halted_reason, ledger_size FROM tenants WHERE id = %s")
    assert row == ("ledger_behind", None, 2)
    service.org.entries = whole
    tenant.make_due()
    tenant.reconcile()
    assert tenant.one("SELECT service_reason FROM tenants WHERE id = %s") is None


def test_the_chunks_before_a_bad_one_stay(tenant: Tenant, service: FakeService) -> None:
    """Each chunk stands on its own head."""
    service.chunk = 2
    users = enrolled(tenant, service, 2)
    tenant.reconcile()
    for _ in range(4):
        tenant.group(users)
    before = tenant.ledger_size()
    service.tamper = changed_entry
    tenant.reconcile()
    assert tenant.one("SELECT halted_reason FROM tenants WHERE id = %s") == "ledger_forked"
    assert before < tenant.ledger_size() < len(service.org.entries)
