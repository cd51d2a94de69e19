"""Reading the ledger: chunks, heads, acknowledgements, and heads that do not fit."""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from encryption_api import encryption_pb2 as pb
from groupseal.checkpoint import open_head
from groupseal.parts import PartKind
from groupseal.reasons import Reason
from tests.support.service import ServiceProcess
from tests.support.vendor import Vendor, some_id
from tests.support.waiting import wait_for


def refusal(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    """Status and reason code with which a call ends."""
    with pytest.raises(grpc.RpcError) as failed:
        call()
    status = rpc_status.from_call(cast("Any", failed.value))  # it is a call, too
    assert status is not None, failed.value
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "groupseal"
    return failed.value.code(), info.reason


def read(vendor: Vendor, start: int, head: str) -> list[pb.ReadLedgerResponse]:
    request = pb.ReadLedgerRequest(from_position=start, known_head=head)
    return list(vendor.stub.ReadLedger(request, timeout=10))


def test_a_long_ledger_comes_in_chunks(vendor: Vendor, channel: grpc.Channel) -> None:
    """Each chunk is believed by its own head, bearing the time of its last entry."""
    vendor.reconcile(*(vendor.command(some_id()) for _ in range(450)))
    reader = Vendor(channel).read()
    sizes = []
    for note in reader.heads[:-1]:
        head = open_head(note, reader.organisation, reader.public_key)
        sizes.append(head.size)
        assert head.time_ms == reader.entries[head.size - 1].entry.time_ms
    assert len(sizes) >= 2
    assert all(b - a <= 200 for a, b in zip([0, *sizes], sizes, strict=False))
    newest = open_head(reader.heads[-1], reader.organisation, reader.public_key)
    assert newest.size == reader.range.size
    assert newest.time_ms >= reader.last_time_ms
    times = [e.entry.time_ms for e in reader.entries]
    assert times == sorted(times)


def test_one_may_go_on_from_the_head_of_any_chunk(vendor: Vendor, channel: grpc.Channel) -> None:
    """A reader that stopped after a chunk reads on from there."""
    vendor.reconcile(*(vendor.command(some_id()) for _ in range(250)))
    reader = Vendor(channel).read()
    size = open_head(reader.heads[0], reader.organisation, reader.public_key).size
    rest = read(reader, size, reader.heads[0])
    assert rest[0].entry.position == size


def test_nothing_new_is_one_head(vendor: Vendor) -> None:
    """Whoever has everything gets the newest head alone."""
    vendor.read()
    (only,) = read(vendor, vendor.range.size, vendor.head)
    assert only.head.newest


def test_the_position_needs_its_head(vendor: Vendor) -> None:
    """Reading from n without, or with another, head is refused."""
    vendor.change(some_id())
    old = vendor.read().head
    vendor.change(some_id())
    vendor.read()
    for start, head in ((vendor.range.size, ""), (0, old), (vendor.range.size, old)):
        expected = (grpc.StatusCode.INVALID_ARGUMENT, Reason.MALFORMED)
        assert refusal(partial(read, vendor, start, head)) == expected


def test_a_tampered_head_is_refused_and_halts_nothing(vendor: Vendor) -> None:
    """Only the organisation's own signature is evidence."""
    size = vendor.read().range.size
    lines = vendor.head.split("\n")
    lines[1] = str(size + 5)
    tampered = "\n".join(lines)
    expected = (grpc.StatusCode.INVALID_ARGUMENT, Reason.SIGNATURE_INVALID)
    assert refusal(lambda: read(vendor, size + 5, tampered)) == expected
    vendor.head = tampered
    assert refusal(lambda: vendor.change(some_id())) == expected
    vendor.head = ""
    assert vendor.change(some_id()).outcome == pb.OUTCOME_DONE


def test_a_stream_begins_with_its_header(vendor: Vendor) -> None:
    """A command before the header, or a second header, ends the call."""
    header = pb.ReconcileGroupsRequest(header=pb.CallHeader())
    command = pb.ReconcileGroupsRequest(command=vendor.command(some_id()))
    for messages in ([command], [header, header], [pb.ReconcileGroupsRequest()]):
        expected = (grpc.StatusCode.INVALID_ARGUMENT, Reason.MALFORMED)
        call = vendor.stub.ReconcileGroups(iter(messages), timeout=10)
        assert refusal(partial(list, call)) == expected


def test_envelopes_go_after_acknowledgement_and_grace(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """What was acknowledged is dropped, the rest stays; who reads again learns of it."""
    environment = {"GROUPSEAL_SERVICE_ENVELOPE_GRACE_SECONDS": "0"}
    folder = tmp_path_factory.mktemp("grace")
    with ServiceProcess(folder, environment=environment) as service, service.channel() as channel:
        vendor, group = Vendor(channel), some_id()
        devices = vendor.bound_devices(2)
        vendor.change(group, [devices[0].member])
        assert vendor.read().acknowledged_size == 0
        acknowledged = vendor.range.size
        vendor.change(group, [devices[1].member])
        vendor.read()  # acknowledges what was read before
        assert vendor.acknowledged_size == 0

        def dropped() -> bool:
            again = Vendor(channel).read()
            assert again.acknowledged_size in {0, acknowledged}
            kept = [e for e in again.entries_of(group) if PartKind.ENVELOPES in e.parts]
            return again.acknowledged_size == acknowledged and len(kept) == 1

        wait_for(dropped, 20, "the acknowledged envelope's end", every=0.3)
        service.run("fsck")
        needed = [pb.GrantReference(member_id=d.member, key_id=d.key_id) for d in devices]
        vendor.change(group, needed_envelopes=needed)
        again = Vendor(channel).read()
        assert {again.open(device, group) for device in devices} == {vendor.open(devices[1], group)}


def test_a_pause_carries_the_log_over_into_the_database(own_service: ServiceProcess) -> None:
    """So that no commit has to: long before SQLite would have one do it."""
    database = own_service.data_dir / "encryption-service.sqlite3"
    with own_service.channel() as channel:
        vendor = Vendor(channel)
        members = [device.member for device in vendor.bound_devices(50)]
        commands = [vendor.command(some_id(), members) for _ in range(100)]
        vendor.reconcile(*commands)  # 6 MB of envelopes; SQLite's own limit is 32 MB
    wait_for(lambda: database.stat().st_size > 4 * 1024 * 1024, 10.0, "the database's growth")
