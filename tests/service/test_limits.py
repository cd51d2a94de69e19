"""Bounds: rosters, messages, calls at once, and batches of a large group."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from encryption_api import encryption_pb2 as pb
from groupseal.entries import GroupReconciled
from groupseal.grants import MAX_BATCH
from groupseal.reasons import Reason
from tests.service.test_ledger import refusal
from tests.support.service import ServiceProcess
from tests.support.vendor import Vendor, some_id


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service with narrow limits."""
    environment = {
        "GROUPSEAL_SERVICE_MAX_ROSTER": "5",
        "GROUPSEAL_SERVICE_MAX_MESSAGE_BYTES": str(2 * 1024 * 1024),
        "GROUPSEAL_SERVICE_MAX_CONCURRENT_CALLS": "2",
    }
    folder = tmp_path_factory.mktemp("small")
    with ServiceProcess(folder, environment=environment) as running:
        yield running


def test_who_does_not_fit_is_refused_alone(small: ServiceProcess) -> None:
    """Additions beyond the limit are refused member by member; room made by leavers is used."""
    with small.channel() as channel:
        vendor, group = Vendor(channel), some_id()
        members = sorted(os.urandom(16) for _ in range(8))
        answer = vendor.change(group, members)
        assert answer.outcome == pb.OUTCOME_DONE
        assert {(r.member_id, r.reason) for r in answer.refusals} == {
            (member, Reason.ROSTER_TOO_LARGE) for member in members[5:]
        }
        assert vendor.read().group(group).roster == set(members[:5])
        answer = vendor.change(group, members[5:], members[:2])
        assert [r.member_id for r in answer.refusals] == [members[7]]
        assert vendor.read().group(group).roster == set(members[2:7])


def test_a_command_that_is_too_long_ends_the_call(small: ServiceProcess) -> None:
    """Pieces are not collected without bound."""
    with small.channel() as channel:
        vendor, group = Vendor(channel), some_id()
        pieces = [
            vendor.command(group, [os.urandom(16) for _ in range(4)], more=True) for _ in range(3)
        ]
        expected = (grpc.StatusCode.INVALID_ARGUMENT, Reason.ROSTER_TOO_LARGE)
        assert refusal(lambda: vendor.reconcile(*pieces)) == expected


def test_a_message_that_is_too_large_is_not_read(small: ServiceProcess) -> None:
    """More than MAX_MESSAGE_BYTES is refused by the transport."""
    with small.channel() as channel:
        vendor = Vendor(channel)
        name = pb.GroupName(display_name="x" * 3 * 1024 * 1024)
        with pytest.raises(grpc.RpcError) as failed:
            vendor.change(some_id(), name=name)
        assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_calls_beyond_the_limit_are_turned_away(small: ServiceProcess) -> None:
    """With as many calls open as are allowed, the next one is refused, not queued."""
    with small.channel() as channel:
        vendor = Vendor(channel)
        header = pb.ReconcileGroupsRequest(header=pb.CallHeader())
        held = []
        for _ in range(2):
            block = _Held([header, pb.ReconcileGroupsRequest(command=vendor.command(some_id()))])
            call = vendor.stub.ReconcileGroups(block.messages(), timeout=20)
            assert next(call).outcome == pb.OUTCOME_DONE
            held.append((block, call))
        with pytest.raises(grpc.RpcError) as failed:
            vendor.stub.GetOrganisation(pb.GetOrganisationRequest(), timeout=5)
        assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        for block, call in held:
            block.release()
            assert list(call) == []


class _Held:
    """Requests of a call that stays open until it is released."""

    def __init__(self, messages: list[pb.ReconcileGroupsRequest]) -> None:
        self._messages = messages
        self._released = threading.Event()

    def messages(self) -> Iterator[pb.ReconcileGroupsRequest]:
        yield from self._messages
        assert self._released.wait(20)

    def release(self) -> None:
        self._released.set()


@pytest.mark.slow
def test_a_large_group_comes_in_batches(tmp_path: Path) -> None:
    """More members than a batch holds: several entries of one epoch, roster in the first."""
    with ServiceProcess(tmp_path / "large") as service, service.channel() as channel:
        vendor, group = Vendor(channel), some_id()
        devices = vendor.bound_devices(MAX_BATCH + 100)
        members = {d.member for d in devices}
        answer = vendor.change(group, members)
        assert answer.outcome == pb.OUTCOME_DONE
        vendor.read()
        bodies = [e.entry.body for e in vendor.entries_of(group)]
        batches = [body for body in bodies if isinstance(body, GroupReconciled)]
        assert [body.grants_count for body in batches] == [MAX_BATCH, 100]
        assert [body.opens for body in batches] == [True, False]
        assert [len(body.joined) for body in batches] == [len(members), 0]
        assert vendor.granted(group) == members
        assert len({vendor.open(d, group) for d in (devices[0], devices[-1])}) == 1
        service.run("fsck")
