"""What a member is told of, until it is acknowledged: new keys, weaker trust, renamed groups."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupseal.identifiers import fingerprint
from groupseal.trust import MembershipCheck, TrustMode, TrustSettings
from member_client.errors import HomeError, UsageError
from member_client.home import Home
from member_client.memory import MEMORY_FILE, Memory, change_memory, load_memory
from member_client.notices import is_weaker, membership_sentence, trust_notices, trust_sentence
from tests.client.conftest import Member, World
from tests.client.test_cli import run

VOUCHED = TrustSettings(
    TrustMode.OIDC,
    "https://idp.example.com",
    "groupseal",
    "sub",
    MembershipCheck.ENFORCE,
    "okta",
)


@pytest.fixture
def ada(world: World) -> Member:
    return world.member()


def codes(member: Member) -> list[str]:
    member.client.sync()
    return [notice.code for notice in member.client.notices()]


def test_a_new_key_is_told_of_on_every_command_until_it_is_acknowledged(
    world: World, ada: Member
) -> None:
    """Also where the vendor hides it: the ledger has it."""
    assert codes(ada) == []
    ghost = world.member(ada.id)
    short = ghost.key_id.hex()[:16]
    world.vendor.shows = lambda _: None
    group = world.group_of(ada)
    for command in (("open", group.text_id), ("groups",), ("read", group.text_id)):
        told = run(*command, home=ada.home)
        assert told.exit_code == 0
        assert f"remove-device {short}" in told.stderr
    assert "NEW" in run("devices", home=ada.home).stdout
    assert run("devices", "--seen", home=ada.home).exit_code == 0
    assert run("groups", home=ada.home).stderr == ""
    assert "NEW" not in run("devices", home=ada.home).stdout


def test_a_failing_command_tells_it_too(world: World, ada: Member) -> None:
    world.member(ada.id)
    ada.client.sync()
    failed = run("open", "No such group", home=ada.home)
    assert failed.exit_code == 2
    assert "a new key" in failed.stderr


def test_a_key_that_came_and_went_is_told_of(world: World, ada: Member) -> None:
    """Something may have been granted to it in between."""
    ghost = world.member(ada.id)
    world.org.unbind(ghost.key_id)
    ada.client.sync()
    (notice,) = ada.client.notices()
    assert "removed by now" in notice.text


def test_keys_that_were_there_first_are_told_of_too(world: World, ada: Member) -> None:
    """A device that comes second shows what is bound already; what was removed before is past."""
    second = world.member(ada.id)
    assert [notice.code for notice in second.client.notices()] == ["new_key"]
    assert ada.key_id.hex()[:16] in second.client.notices()[0].text
    world.org.unbind(ada.key_id)
    third = world.member(ada.id)
    told = [notice.text for notice in third.client.notices()]
    assert len(told) == 1
    assert second.key_id.hex()[:16] in told[0]


def test_only_what_was_shown_is_acknowledged(world: World, ada: Member) -> None:
    """A key that is bound meanwhile stays new."""
    first = world.member(ada.id)
    views = ada.client.device_views()
    later = world.member(ada.id)
    ada.client.acknowledge_keys(view.key_id for view in views)
    ada.client.sync()
    (notice,) = ada.client.notices()
    assert later.key_id.hex()[:16] in notice.text
    assert first.key_id.hex()[:16] not in notice.text


def test_weaker_trust_is_told_of_until_it_is_acknowledged(world: World) -> None:
    world.org.decide_by(VOUCHED)
    world.vendor.binds = False
    client = world.client(world.new_home())
    # Enrolled while the identity provider vouched; the sign-in is another test's.
    world.org.decide_by(replace(VOUCHED, mode=TrustMode.APPROVE, issuer="", client_id=""))
    client.enrol(world.address, world.vendor.code_for(bytes(16)))
    assert client.notices() == []
    world.org.decide_by(TrustSettings(TrustMode.PIN, membership_check=MembershipCheck.OFF))
    client.sync()
    (notice,) = client.notices()
    assert notice.code == "trust_weaker"
    assert "approve -> vendor-trusted" in notice.text
    assert "enforce -> off" in notice.text
    home = client._context.home.folder
    assert "TRUSTS THE VENDOR MORE" in run("groups", home=home).stderr
    assert run("status", "--seen", home=home).exit_code == 0
    assert run("groups", home=home).stderr == ""


def test_stricter_trust_is_not_told_of() -> None:
    assert trust_notices(VOUCHED, TrustSettings(TrustMode.PIN)) == []


def test_another_provider_is_told_of() -> None:
    """Nobody but the organisation can have written it, but a member should know."""
    other = replace(VOUCHED, issuer="https://other.example.com")
    (notice,) = trust_notices(other, VOUCHED)
    assert notice.code == "trust_changed"
    assert "https://other.example.com" in notice.text


SETTINGS = st.builds(
    TrustSettings,
    st.sampled_from(TrustMode),
    st.sampled_from(["", "https://a.example", "https://b.example"]),
    st.sampled_from(["", "c"]),
    st.sampled_from(["", "sub", "oid"]),
    st.sampled_from(MembershipCheck),
    st.sampled_from(["", "okta", "entra"]),
)


@given(SETTINGS, SETTINGS)
def test_every_weakening_is_told_of_and_no_identity(
    now: TrustSettings, before: TrustSettings
) -> None:
    told = [notice.code for notice in trust_notices(now, before)]
    assert ("trust_weaker" in told) == is_weaker(now, before)
    assert trust_notices(now, now) == []


@given(SETTINGS)
def test_what_is_not_stopped_is_said_for_every_setting(trust: TrustSettings) -> None:
    for sentence in (trust_sentence(trust), membership_sentence(trust)):
        assert "Not stopped: " in sentence
    assert ("endor-trusted" in trust_sentence(trust)) == trust.mode.is_vendor_trusted


def test_a_renamed_group_is_told_of_until_it_is_acknowledged(world: World, ada: Member) -> None:
    """From what to what and when; a share says so too."""
    group = world.group_of(ada, name="Finance")
    assert ada.client.open(group.text_id).warnings == ()
    world.org.rename(group, "Canteen")
    shared = ada.client.share(group.text_id, b"x")
    assert "renamed this group" in shared.warnings[0]
    (warning,) = ada.client.open(group.text_id).warnings
    assert 'from "Finance" to "Canteen"' in warning
    assert "on 2027-01-15" in warning
    assert ada.client.share(group.text_id, b"x").warnings == (warning,)
    renamed = json.loads(run("status", "--json", home=ada.home).stdout)["notices"]
    assert [each["code"] for each in renamed] == ["renamed"]
    run("status", "--seen", home=ada.home)
    assert ada.client.open(group.text_id).warnings == ()


def test_a_name_that_moved_to_another_group_is_not_taken_for_the_one_known(
    world: World, ada: Member
) -> None:
    """A vendor that swaps two groups' names by pushing them: a share by name would go astray."""
    known, other = world.group_of(ada, name="Finance"), world.group_of(ada, name="Canteen")
    world.vendor.names.update({known.id: "Finance", other.id: "Canteen"})
    assert ada.client.find_group("Finance") == known.text_id
    world.org.rename(known, "Canteen")
    world.org.rename(other, "Finance")
    world.vendor.names.update({known.id: "Canteen", other.id: "Finance"})
    with pytest.raises(UsageError, match="you know another group as Finance"):
        ada.client.find_group("Finance")
    assert run("share", "Finance", "--text", "secret", home=ada.home).exit_code == 2
    assert world.vendor.items == []
    ada.client.open(known.text_id)
    run("status", "--seen", home=ada.home)
    assert ada.client.find_group("Finance") == other.text_id


def test_status_says_how_the_organisation_decides(world: World, ada: Member) -> None:
    shown = run("status", home=ada.home)
    assert shown.exit_code == 0
    assert "Vendor-trusted" in shown.stdout
    assert "ghost member" in shown.stdout
    assert "confirmed by you" in shown.stdout
    assert fingerprint(world.org.public_key) in shown.stdout
    answer = json.loads(run("status", "--json", home=ada.home).stdout)
    assert answer["vendor_trusted"] is True
    assert answer["trust"]["membership_check"] == "off"
    assert answer["head"]["size"] == len(world.org.entries)
    assert [each["this_device"] for each in answer["devices"]] == [True]


def test_a_damaged_memory_says_what_to_do(world: World, ada: Member) -> None:
    (ada.home / MEMORY_FILE).write_text('{"version": 1, "keys": ["zz"]}')
    with pytest.raises(HomeError, match="delete it"):
        load_memory(Home(ada.home))


@given(SETTINGS, st.sets(st.binary(min_size=32, max_size=32), max_size=3))
def test_memory_survives_being_stored(
    tmp_path_factory: pytest.TempPathFactory, trust: TrustSettings, keys: set[bytes]
) -> None:
    folder: Path = tmp_path_factory.mktemp("home")
    folder.chmod(0o700)
    memory = Memory(3, frozenset(keys), trust).with_name("g", "Finance", bytes(32))
    stored = change_memory(Home(folder), memory, lambda first: first.with_name("h", None, None))
    assert load_memory(Home(folder)) == stored
    assert stored.names["h"].known is None
