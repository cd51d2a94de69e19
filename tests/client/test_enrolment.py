"""Enrolling: once, again, interrupted, and with an organisation that is not the expected one."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from groupseal.errors import MalformedError
from groupseal.identifiers import fingerprint
from member_client.client import MemberClient
from member_client.errors import (
    HomeError,
    NotEnrolledError,
    PinError,
    RefusedError,
    UnreachableError,
    UsageError,
)
from member_client.home import Home
from member_client.key_file import KEY_FILE, DeviceKeys, load_keys
from tests.client.conftest import World
from tests.support.org_maker import OrgMaker


def test_enrolling_binds_this_devices_key(world: World) -> None:
    """The key that the organisation binds is the one in the key file; the proof verified."""
    member = world.member()
    member.client.sync()
    bound = member.client.ledger.projection.keys[member.key_id]
    assert bound.member == member.id
    assert bound.hpke_public_key == load_keys(Home(member.home)).hpke_public_key
    assert [device.state for device in member.client.devices()] == ["bound"]


def test_enrolling_again_with_the_same_code_is_harmless(world: World) -> None:
    """A retry spends no second code, keeps the key and changes nothing in the ledger."""
    member = uuid4().bytes
    code, client = world.vendor.code_for(member), world.client(world.folder / "home")
    first = client.enrol(world.address, code)
    entries = len(world.org.entries)
    second = client.enrol(world.address, code)
    assert second.device.key_id == first.device.key_id
    assert len(world.org.entries) == entries


def test_enrolment_goes_on_after_a_wrong_fingerprint(world: World) -> None:
    """A refused fingerprint leaves nothing pinned and no key submitted; the code is not lost."""
    code, client = world.vendor.code_for(uuid4().bytes), world.client(world.folder / "home")
    other = fingerprint(OrgMaker().public_key)
    with pytest.raises(PinError, match="is not the one"):
        client.enrol(world.address, code, fingerprint=other)
    assert "POST /member/v1/devices" not in world.vendor.requests
    with pytest.raises(NotEnrolledError):
        _ = client.organisation

    typed = fingerprint(world.org.public_key).lower().replace("-", " ")
    assert client.enrol(world.address, code, fingerprint=typed).organisation.confirmed


def test_without_a_fingerprint_the_pin_is_not_confirmed(world: World) -> None:
    """What came from the vendor's word is remembered as such, until it is confirmed."""
    code, client = world.vendor.code_for(uuid4().bytes), world.client(world.folder / "home")
    assert not client.enrol(world.address, code).organisation.confirmed
    right = fingerprint(world.org.public_key)
    assert client.enrol(world.address, code, fingerprint=right).organisation.confirmed
    assert client.enrol(world.address, code).organisation.confirmed


def test_the_vendor_cannot_change_the_pinned_organisation(
    world: World, serve: Callable[[], World]
) -> None:
    """Another organisation's key is refused even where no fingerprint is given again."""
    member = world.member()
    world.vendor.org = OrgMaker()
    with pytest.raises(PinError, match="another organisation"):
        member.client.enrol(world.address, world.vendor.code_for(member.id))


def test_a_folder_belongs_to_one_member(world: World) -> None:
    """A second member's code does not take a folder over."""
    member = world.member()
    with pytest.raises(UsageError, match="another member"):
        member.client.enrol(world.address, world.vendor.code_for(uuid4().bytes))


def test_a_used_or_unknown_code_is_refused(world: World) -> None:
    """The refusal carries the server's reason."""
    with pytest.raises(RefusedError) as refused:
        world.client(world.folder / "home").enrol(world.address, "CODE-none")
    assert refused.value.reason == "code_invalid"


def test_a_server_that_is_away_or_is_another_is_unreachable(tmp_path: Path) -> None:
    """No connection is an error of its own; a token never goes over plain HTTP to elsewhere."""
    client = MemberClient(tmp_path / "home")
    with pytest.raises(UnreachableError, match="does not answer"):
        client.enrol("http://127.0.0.1:9", "CODE")
    with pytest.raises(UsageError, match="use https"):
        client.enrol("http://vendor.example.com", "CODE")
    with pytest.raises(UsageError, match="not an address"):
        client.enrol("vendor.example.com", "CODE")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("signing_public_key", "c2hvcnQ="),
        ("signing_public_key", "not base64"),
        ("signing_public_key", 5),
        ("organisation_id", "not an id"),
        ("organisation_id", None),
        ("trust_mode", ["pin"]),
    ],
)
def test_a_malformed_answer_is_refused(world: World, field: str, value: object) -> None:
    """A field of another type or length is named, not used."""
    path = "/member/v1/organisation"
    _, answer = world.vendor.answer("GET", path, world.a_token(), None)
    world.vendor.answers[path] = 200, {**answer, field: value}
    with pytest.raises(MalformedError):
        world.client(world.folder / "home").enrol(
            world.address, world.vendor.code_for(uuid4().bytes)
        )


@pytest.mark.parametrize("answer", [(500, {}), (200, []), (502, {"reason": "x"})])
def test_a_fault_of_the_server_is_no_verdict(world: World, answer: Any) -> None:
    """Such an answer says nothing about the member: try again later."""
    member = world.member()
    world.vendor.answers["/member/v1/groups"] = answer
    with pytest.raises(UnreachableError):
        member.client.groups()


def test_an_ended_session_says_how_to_go_on(world: World) -> None:
    member = world.member()
    world.vendor.tokens.clear()
    with pytest.raises(RefusedError, match="new enrolment code"):
        member.client.groups()
    member.client.enrol(world.address, world.vendor.code_for(member.id))
    assert member.client.groups() == []


def test_files_are_private(world: World) -> None:
    """The folder is 0700 and every file in it 0600."""
    member = world.member()
    member.client.sync()
    assert stat.S_IMODE(member.home.stat().st_mode) == 0o700
    for file in member.home.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_file_that_others_may_read_is_refused(world: World, mode: int) -> None:
    """The remedy is in the message."""
    member = world.member()
    (member.home / KEY_FILE).chmod(mode)
    with pytest.raises(HomeError, match="chmod 600"):
        world.client(member.home).open(str(uuid4()))


def test_a_folder_that_others_may_read_is_refused(world: World) -> None:
    member = world.member()
    member.home.chmod(0o755)
    with pytest.raises(HomeError, match="chmod 700"):
        world.client(member.home)


@pytest.mark.parametrize("field", ["hpke_seed", "signing_seed"])
def test_a_damaged_key_file_is_refused_without_showing_it(world: World, field: str) -> None:
    """A damaged file gives an error that names the field, not its content."""
    member = world.member()
    path = member.home / KEY_FILE
    fields = json.loads(path.read_text())
    fields[field] = fields[field][:-4]
    path.write_text(json.dumps(fields))
    with pytest.raises(HomeError, match=field) as error:
        load_keys(Home(member.home))
    assert fields[field] not in str(error.value)


def test_secrets_do_not_show_themselves() -> None:
    """Neither repr nor pickling gives a key away."""
    keys = DeviceKeys.make()
    assert keys.hpke_seed.reveal().hex() not in repr(keys)
    assert repr(keys.hpke_seed) == "<XWingSeed>"
    with pytest.raises(TypeError, match="not pickled"):
        keys.hpke_seed.__reduce__()


def test_nothing_works_before_enrolment(tmp_path: Path) -> None:
    """Every operation says what to do first."""
    client = MemberClient(tmp_path / "home")
    for act in (client.sync, client.groups, client.devices, lambda: client.open(str(uuid4()))):
        with pytest.raises(NotEnrolledError, match="groupseal member enrol"):
            act()
