"""The customer's commands on a running service in mode `approve`, for people and for programs."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest

from encryption_api import encryption_pb2 as pb
from encryption_service.admin_arguments import ArgumentError, Arguments, find_key
from encryption_service.admin_socket import AdminSocketError, admin_socket_path, ask
from groupseal.approval_documents import ApprovalRequest
from groupseal.approvals import ApprovalStatement
from groupseal.identifiers import identifier_to_text, key_fingerprint
from groupseal.reasons import Reason
from tests.support.devices import Device
from tests.support.policies import DAY_MS, Approver, PolicyOnDisk
from tests.support.service import ServiceProcess
from tests.support.vendor import Vendor, some_id
from tests.support.waiting import wait_for

ANA, BEN = Approver("ana"), Approver("ben")
_APPROVERS = [ANA.entry(), BEN.entry()]
_FINANCE = {"match": [{"name": "Finance*"}], "approvals": 2}
LUNCH = pb.GroupName(display_name="Lunch")
_STANDARD: dict[str, Any] = {"approvers": _APPROVERS, "protected": [_FINANCE]}


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> PolicyOnDisk:
    return PolicyOnDisk(tmp_path_factory.mktemp("policy") / "policy.yaml", **_STANDARD)


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, policy: PolicyOnDisk
) -> Iterator[ServiceProcess]:
    environment = {
        "GROUPSEAL_SERVICE_TRUST_MODE": "approve",
        "GROUPSEAL_SERVICE_POLICY_FILE": str(policy.path),
    }
    with ServiceProcess(tmp_path_factory.mktemp("service"), environment=environment) as running:
        yield running
        found = running.run("fsck", check=False)
        assert found.returncode == 0, found.stdout + found.stderr


@pytest.fixture(scope="module")
def channel(service: ServiceProcess) -> Iterator[grpc.Channel]:
    with service.channel() as channel:
        yield channel


@pytest.fixture
def vendor(channel: grpc.Channel) -> Vendor:
    return Vendor(channel).read()


@pytest.fixture
def device(vendor: Vendor) -> Device:
    """Offered by the vendor, and waiting."""
    device = Device(vendor.organisation)
    (answer,) = vendor.bind(device.binding(user_name="ada@example.com", external_id="00u1"))
    assert answer.outcome == pb.BINDING_OUTCOME_WAITING
    return device


class Commands:
    """Over the socket, as the command line does it."""

    def __init__(self, service: ServiceProcess) -> None:
        self.path = admin_socket_path(service.data_dir)

    def __call__(self, command: str, **arguments: Any) -> dict[str, Any]:
        return ask(self.path, {"command": command, **arguments})

    def waiting(self, device: Device) -> dict[str, Any] | None:
        found = self("keys.list", waiting=True)["waiting"]
        return next((key for key in found if key["key_id"] == device.key_id.hex()), None)

    def bound(self, device: Device) -> dict[str, Any] | None:
        found = self("keys.list")["bound"]
        return next((key for key in found if key["key_id"] == device.key_id.hex()), None)


@pytest.fixture
def command(service: ServiceProcess) -> Commands:
    return Commands(service)


def named(device: Device) -> dict[str, str]:
    """The arguments that name the device's key, as a person gives them."""
    return {
        "member": identifier_to_text(device.member),
        "key": key_fingerprint(device.key_id)[:17].lower(),
    }


def in_force(service: ServiceProcess, policy: PolicyOnDisk, **document: Any) -> None:
    """Writes a policy and waits until it is the one in force."""
    policy.write(**document)
    digest = json.loads(service.run("policy", "check", str(policy.path), "--json").stdout)["digest"]
    commands = Commands(service)
    wait_for(lambda: commands("policy.show")["digest"] == digest, 15, "the policy in force")


@pytest.fixture
def own_policy(service: ServiceProcess, policy: PolicyOnDisk) -> Iterator[PolicyOnDisk]:
    """Put back afterwards."""
    yield policy
    in_force(service, policy, **_STANDARD)


# Keys


def test_a_key_waits_with_everything_that_a_person_needs(
    command: Commands, device: Device, vendor: Vendor
) -> None:
    """Fingerprint, member, names, since when; and it is not bound."""
    key = command.waiting(device)
    assert key is not None
    assert key["fingerprint"] == key_fingerprint(device.key_id)
    assert key["member"] == identifier_to_text(device.member)
    assert (key["user_name"], key["external_id"]) == ("ada@example.com", "00u1")
    assert (key["suite"], key["replaces"]) == ("xwing", False)
    assert (key["approved_by"], key["needed"]) == ([], 0)
    assert key["since_ms"] > vendor.last_time_ms - DAY_MS
    assert command.bound(device) is None


def test_an_approved_key_is_bound_and_granted_by_itself(
    command: Commands, device: Device, vendor: Vendor
) -> None:
    """On an idle tenant: nobody pushes or binds again."""
    group = some_id()
    vendor.change(group, [device.member], name=LUNCH)
    done = command("keys.approve", **named(device))
    assert done["key_id"] == device.key_id.hex()
    vendor.read_until_granted(group, {device.member})
    assert vendor.open(device, group)
    assert command.waiting(device) is None
    bound = command.bound(device)
    assert bound is not None
    assert (bound["trust_mode"], bound["endorsed"]) == ("approve", False)


def test_a_refused_key_is_refused_for_good(
    command: Commands, device: Device, vendor: Vendor
) -> None:
    """The vendor learns why, however often it offers the key."""
    command("keys.refuse", **named(device))
    (answer,) = vendor.bind(device.binding())
    assert answer.outcome == pb.BINDING_OUTCOME_REFUSED
    assert answer.reason == Reason.KEY_REFUSED_BY_APPROVER
    assert command.waiting(device) is None
    with pytest.raises(AdminSocketError, match="KEY"):
        command("keys.approve", **named(device))


def test_an_unbound_key_loses_its_groups(command: Commands, device: Device, vendor: Vendor) -> None:
    """By its fingerprint alone."""
    group = some_id()
    vendor.change(group, [device.member], name=LUNCH)
    command("keys.approve", **named(device))
    vendor.read_until_granted(group, {device.member})
    command("keys.unbind", key=key_fingerprint(device.key_id))
    vendor.read_until_granted(group, set())
    assert command.bound(device) is None


def test_a_key_is_meant_for_its_own_member_only(
    command: Commands, device: Device, vendor: Vendor
) -> None:
    """The right key under the wrong member is a mistake, or worse."""
    for arguments in (
        {**named(device), "member": str(uuid4())},
        {**named(device), "key": "00000-00000"},
        {**named(device), "key": "ZZ"},
        {**named(device), "key": "f" * 64},
        {**named(device), "member": "ada"},
    ):
        with pytest.raises(AdminSocketError, match=r"^(KEY|MEMBER)"):
            command("keys.approve", **arguments)
    assert command.waiting(device) is not None


def test_with_signatures_in_the_policy_the_command_does_not_suffice(
    command: Commands, device: Device, service: ServiceProcess, own_policy: PolicyOnDisk
) -> None:
    """keys.approvals: 2. Two approvers' signatures bind the key; one twice does not."""
    in_force(service, own_policy, approvers=_APPROVERS, keys={"approvals": 2})
    with pytest.raises(AdminSocketError, match=r"keys\.approvals"):
        command("keys.approve", **named(device))
    request = command("keys.request", **named(device))["document"]
    statement = statement_of(request, service)
    assert statement.group is None
    for _ in range(2):
        assert command("approvals.add", document=ANA.approval(statement))["approver"] == "ana"
    key = command.waiting(device)
    assert key is not None
    assert (key["approved_by"], key["needed"]) == (["ana"], 2)
    command("approvals.add", document=BEN.approval(statement))
    assert command.bound(device) is not None


# Approvals


def statement_of(request: str, service: ServiceProcess) -> ApprovalStatement:
    """What an approver signs of a request."""
    asked = ApprovalRequest.from_json(request.encode())
    fingerprint = json.loads(service.run("fingerprint", "--json").stdout)["fingerprint"]
    assert asked.organisation_fingerprint == fingerprint
    times = Path(service.data_dir).stat().st_mtime_ns // 1_000_000
    return ApprovalStatement(
        asked.organisation, asked.group, asked.member, asked.key_id, times + DAY_MS
    )


@pytest.fixture
def at_the_door(command: Commands, device: Device, vendor: Vendor) -> bytes:
    """A protected group that the device's member waits for."""
    command("keys.approve", **named(device))
    group = some_id()
    vendor.change(group, [device.member], name=pb.GroupName(display_name="Finance Berlin"))
    vendor.wait_for_hold(group, device.member, Reason.APPROVAL_NEEDED)
    return group


def test_two_approvals_open_a_protected_group(
    command: Commands,
    device: Device,
    vendor: Vendor,
    at_the_door: bytes,
    service: ServiceProcess,
) -> None:
    """The list says who waits and who has signed; the grant follows by itself."""

    def waiting() -> dict[str, Any]:
        found = command("approvals.list")["waiting"]
        (one,) = [each for each in found if each["group"] == identifier_to_text(at_the_door)]
        return dict(one)

    first = waiting()
    assert (first["group_name"], first["user_name"]) == ("Finance Berlin", "ada@example.com")
    assert first["fingerprint"] == key_fingerprint(device.key_id)
    assert (first["approved_by"], first["needed"]) == ([], 2)
    assert sorted(first["approvers"]) == ["ana", "ben"]
    group = identifier_to_text(at_the_door)
    request = command("approvals.request", group=group, **named(device))["document"]
    statement = statement_of(request, service)
    assert statement.group == at_the_door
    command("approvals.add", document=ANA.approval(statement))
    assert waiting()["approved_by"] == ["ana"]
    command("approvals.add", document=BEN.approval(statement))
    vendor.read_until_granted(at_the_door, {device.member})


def test_what_is_no_approval_of_an_approver_is_refused(
    command: Commands, device: Device, at_the_door: bytes, service: ServiceProcess
) -> None:
    """A stranger's, a changed one, a request in its place, and nonsense."""
    group = identifier_to_text(at_the_door)
    request = command("approvals.request", group=group, **named(device))["document"]
    statement = statement_of(request, service)
    changed = json.loads(ANA.approval(statement)) | {"expires_ms": statement.expires_ms + 1}
    for document in (
        Approver("eve").approval(statement),
        json.dumps(changed),
        json.dumps({**changed, "more": 1}),
        request,
        "nonsense",
    ):
        with pytest.raises(AdminSocketError):
            command("approvals.add", document=document)
    assert any(each["approved_by"] == [] for each in command("approvals.list")["waiting"])


def test_a_request_is_made_for_what_is_there(command: Commands, device: Device) -> None:
    """An unknown group, or a key that is not bound, is an error that names the argument."""
    with pytest.raises(AdminSocketError, match="GROUP"):
        command("approvals.request", group=str(uuid4()), **named(device))


# Freeze, policy, groups, holds


def test_freeze_is_said_and_lifted(command: Commands, service: ServiceProcess) -> None:
    """By the command; the policy's own is shown beside it."""
    assert command("freeze.set", on=True) == {"by_command": True, "by_policy": False}
    assert service.run("freeze", "status").stdout == "additions are frozen by the command\n"
    assert command("policy.show")["frozen_by_command"]
    assert command("freeze.set", on=False) == {"by_command": False, "by_policy": False}
    assert json.loads(service.run("freeze", "status", "--json").stdout) == command("freeze.status")


def test_the_policy_is_shown_and_a_wrong_file_ends_with_1(
    service: ServiceProcess, own_policy: PolicyOnDisk, command: Commands
) -> None:
    """The last good one is shown, and the fault on standard error."""
    shown = json.loads(service.run("policy", "show", "--json").stdout)
    assert shown["document"]["protected"] == [_FINANCE]
    assert shown["fault"] == ""
    own_policy.write_text("version: 1\nfreez: true\n")
    wait_for(lambda: command("policy.show")["fault"], 15, "the fault")
    found = service.run("policy", "show", check=False)
    assert found.returncode == 1
    assert "line 2: freez: there is no such field" in found.stderr
    assert "Finance*" in found.stdout


def test_groups_are_listed_with_what_the_policy_says_of_them(
    command: Commands, vendor: Vendor, at_the_door: bytes
) -> None:
    """All names that the group ever had, and how many are held."""
    vendor.read()
    vendor.change(at_the_door, name=LUNCH)
    found = command("groups.list")["groups"]
    (group,) = [each for each in found if each["group"] == identifier_to_text(at_the_door)]
    assert (group["name"], group["names"]) == ("Lunch", ["Finance Berlin", "Lunch"])
    assert (group["approvals"], group["allowed"], group["held"]) == (2, True, 1)


def test_a_group_is_mapped_only_where_there_is_a_source(
    command: Commands, at_the_door: bytes
) -> None:
    """The text names the setting."""
    with pytest.raises(AdminSocketError, match="GROUPSEAL_SERVICE_MEMBERSHIP_SOURCE"):
        command("groups.map", group=identifier_to_text(at_the_door), source_group_id="00g1")


def test_holds_say_who_why_and_what_would_help(
    command: Commands, device: Device, at_the_door: bytes, service: ServiceProcess
) -> None:
    """The same as a list for people."""
    found = command("holds.list")["holds"]
    (hold,) = [each for each in found if each["group"] == identifier_to_text(at_the_door)]
    assert hold["member"] == identifier_to_text(device.member)
    assert (hold["reason"], hold["remedy"]) == (
        Reason.APPROVAL_NEEDED,
        Reason.APPROVAL_NEEDED.remedy,
    )
    shown = service.run("holds", "list").stdout
    assert "vendor's word" in shown
    assert Reason.APPROVAL_NEEDED.remedy in " ".join(shown.split())


# The command line


def test_names_cannot_steer_the_terminal(vendor: Vendor, service: ServiceProcess) -> None:
    """Control and direction characters are shown as escapes; JSON has them escaped."""
    device = Device(vendor.organisation)
    vendor.bind(device.binding(user_name="ada\x1b]0;x\x07\u202e", external_id="\x1b[2J"))
    for arguments in (("keys", "list"), ("keys", "list", "--json")):
        shown = service.run(*arguments).stdout
        assert not {"\x1b", "\x07", "\u202e"} & set(shown)
    assert "ada\\x1b]0;x\\x07\\u202e (\\x1b[2J)" in service.run("keys", "list").stdout


def test_exit_statuses_are_0_1_and_2(service: ServiceProcess, tmp_path: Path) -> None:
    """Well; something is wrong, with a sentence; usage."""
    assert service.run("groups", "list").returncode == 0
    for arguments, status in (
        (("keys", "approve", str(uuid4()), "00000"), 1),
        (("policy", "check", str(tmp_path / "none.yaml")), 1),
        (("keys", "approve"), 2),
        (("approvals", "add", str(tmp_path / "none.json")), 2),
        (("freeze", "maybe"), 2),
    ):
        found = service.run(*arguments, check=False)
        assert (found.returncode, found.stdout) == (status, ""), arguments
        assert found.stderr
        assert "Traceback" not in found.stderr


def test_a_policy_is_checked_without_a_service(tmp_path: Path, service: ServiceProcess) -> None:
    """Each fault is a line; in JSON a list."""
    wrong = tmp_path / "policy.yaml"
    wrong.write_text("version: 1\nfreez: 1\nsuites: []\n")
    found = service.run("policy", "check", str(wrong), "--json", check=False)
    assert found.returncode == 1
    assert len(json.loads(found.stdout)["faults"]) == 2


def test_an_unknown_command_or_argument_is_an_error(command: Commands) -> None:
    """Nothing is ignored."""
    for request in ({}, {"command": "keys.steal"}, {"command": ["keys.list"]}):
        with pytest.raises(AdminSocketError, match="no such command"):
            ask(command.path, request)
    with pytest.raises(AdminSocketError, match="no argument"):
        command("keys.list", everything=True)
    with pytest.raises(AdminSocketError, match="ON must be"):
        command("freeze.set", on="yes")


def test_the_decisions_are_logged(
    command: Commands, device: Device, service: ServiceProcess
) -> None:
    """Who watches the log sees every change that somebody of the organisation made."""
    command("keys.approve", **named(device))
    wait_for(lambda: device.key_id.hex() in service.log, 10, "the line in the log")
    (line,) = [each for each in service.log.splitlines() if device.key_id.hex() in each]
    assert json.loads(line)["event"] == "key_approved"


@pytest.mark.slow  # starts a service three times
def test_the_socket_is_gone_after_the_service(own_service: ServiceProcess) -> None:
    """And the commands say that no service runs."""
    path = admin_socket_path(own_service.data_dir)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    own_service.stop()
    assert not path.exists()
    found = own_service.run("keys", "list", check=False)
    assert found.returncode == 1
    assert "no service runs on" in found.stderr
    own_service.start()
    own_service.kill()
    assert path.exists()
    own_service.start()
    assert ask(path, {"command": "freeze.status"})["by_command"] is False


# Arguments


def test_a_prefix_that_means_several_keys_is_refused() -> None:
    """Among some thousand keys two begin with the same five symbols."""
    keys = [number.to_bytes(32, "big") for number in range(20_000)]
    begins: dict[str, bytes] = {}
    for key in keys:
        start = key_fingerprint(key)[:5]
        if start in begins:
            break
        begins[start] = key
    else:
        pytest.fail("no two fingerprints begin alike")
    with pytest.raises(ArgumentError, match="several keys"):
        find_key(start, [key, begins[start]], bytes, "anywhere")
    whole = key_fingerprint(key)
    assert find_key(whole, [key, begins[start]], bytes, "anywhere") == key
    assert find_key(key.hex(), [key, begins[start]], bytes, "anywhere") == key
    with pytest.raises(ArgumentError, match="no key anywhere"):
        find_key(whole, [], bytes, "anywhere")


@pytest.mark.parametrize("value", [None, 7, "", "x" * 2_000, ["a"], "0123456789abcdef" * 2])
def test_an_argument_has_one_form(value: object) -> None:
    """The error names the argument."""
    with pytest.raises(ArgumentError, match="MEMBER"):
        Arguments({"member": value}).identifier("member")
    upper = str(UUID(bytes=os.urandom(16))).upper()
    assert Arguments({"member": upper}).identifier("member") == UUID(upper).bytes
