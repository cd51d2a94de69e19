"""The command line is a contract: what is printed, as JSON too, and the exit codes."""

import base64
import json
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from click.testing import CliRunner, Result

from groupseal.cli import main
from groupseal.identifiers import fingerprint, key_fingerprint
from groupseal.trust import TrustMode, TrustSettings
from tests.client.conftest import Member, World
from tests.support.org_maker import OrgMaker
from tests.support.signing_in import Person, query_of


def run(*words: str | Path, home: Path, input: bytes | None = None) -> Result:  # noqa: A002 # click's name
    command, *rest = words
    return CliRunner().invoke(
        main, ["member", str(command), "--home", str(home), *map(str, rest)], input=input
    )


@pytest.fixture
def ada(world: World) -> Member:
    return world.member()


def test_enrol_says_whether_the_fingerprint_was_confirmed(world: World) -> None:
    """Without a fingerprint the vendor's word is named as what it is."""
    home, code = world.folder / "cli", world.vendor.code_for(uuid4().bytes)
    words = ("enrol", "--server", world.address, "--code", code)
    unconfirmed = run(*words, home=home)
    assert unconfirmed.exit_code == 0
    assert "vendor's word" in unconfirmed.output
    right = fingerprint(world.org.public_key)
    confirmed = run(*words, "--fingerprint", right, "--json", home=home)
    assert json.loads(confirmed.stdout)["fingerprint_confirmed"] is True
    wrong = run(*words, "--fingerprint", fingerprint(OrgMaker().public_key), home=home)
    assert wrong.exit_code == 3
    assert "wrong_organisation" in wrong.stderr


@pytest.mark.parametrize(
    ("mode", "said"), [(TrustMode.PIN, "vendor-trusted"), (TrustMode.APPROVE, "Read this")]
)
def test_enrol_says_by_whom_the_key_is_trusted(
    serve: Callable[..., World], mode: TrustMode, said: str
) -> None:
    """And shows the fingerprint that an approver has to hear."""
    world = serve(TrustSettings(mode))
    home, code = world.folder / "cli", world.vendor.code_for(uuid4().bytes)
    words = ("enrol", "--server", world.address, "--code", code)
    shown = run(*words, home=home)
    assert said in shown.output
    answer = json.loads(run(*words, "--json", home=home).stdout)
    assert answer["key_fingerprint"] == key_fingerprint(bytes.fromhex(answer["key_id"]))
    assert answer["key_fingerprint"] in shown.output
    assert answer["vendor_trusted"] is (mode is TrustMode.PIN)


def test_a_browser_elsewhere_signs_in_too(vouched: World, ada_at_browser: Person) -> None:
    """With --no-browser the program prints the address, and waits for the answer."""
    home, code = vouched.folder / "cli", vouched.vendor.code_for(uuid4().bytes)
    words = ("enrol", "--server", vouched.address, "--code", code, "--no-browser", "--json")
    program = Path(sys.executable).with_name("groupseal")
    with subprocess.Popen(
        [program, "member", *words, "--home", home],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        said = iter(process.stderr.readline, "")
        ada_at_browser(next(line for line in said if line.startswith("http")).strip())
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert json.loads(out)["state"] == "bound"


def test_a_refused_sign_in_exits_with_3_and_can_be_repeated(
    vouched: World, ada_at_browser: Person
) -> None:
    """The provider's own words are shown, without what could steer the terminal."""
    home, code = vouched.folder / "cli", vouched.vendor.code_for(uuid4().bytes)
    words = ("enrol", "--server", vouched.address, "--code", code)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("webbrowser.open", refuse)
        refused = run(*words, home=home)
    assert refused.exit_code == 3
    assert "access_denied: not you" in refused.stderr
    assert "\x1b" not in refused.stderr
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("webbrowser.open", ada_at_browser.is_there)
        assert run(*words, home=home).exit_code == 0


def refuse(address: str) -> bool:
    """A browser whose person is not let in."""
    query = query_of(address)
    no = {"error": "access_denied", "error_description": "not you\x1b[2J", "state": query["state"]}
    return httpx.get(query["redirect_uri"], params=no).status_code == 200


def test_open_verifies_and_shows_no_secret(world: World, ada: Member) -> None:
    group = world.group_of(ada, name="Finance")
    shown = run("open", group.text_id, "--json", home=ada.home)
    assert shown.exit_code == 0
    answer = json.loads(shown.stdout)
    assert (answer["verified"], answer["epoch"], answer["name"]) == (True, 1, "Finance")
    secret = group.secrets[1]
    for form in (secret.hex(), base64.b64encode(secret).decode()):
        assert form not in shown.output


def test_the_secret_is_exported_on_request_only_into_a_new_private_file(
    world: World, ada: Member
) -> None:
    group, file = world.group_of(ada), world.folder / "secret"
    first = run("open", group.text_id, "--export-secret", file, home=ada.home)
    assert first.exit_code == 0
    assert base64.b64decode(file.read_bytes()) == group.secrets[1]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert run("open", group.text_id, "--export-secret", file, home=ada.home).exit_code == 2


def test_share_and_read(world: World, ada: Member) -> None:
    """By signed name, from standard input, an option or a file."""
    group = world.group_of(ada, name="Finance")
    world.vendor.names[group.id] = "Finance"
    file = world.folder / "note"
    file.write_bytes(b"from a file")
    assert run("share", "Finance", home=ada.home, input=b"from stdin").exit_code == 0
    assert run("share", "Finance", "--text", "from text", home=ada.home).exit_code == 0
    assert run("share", group.text_id, "--file", file, home=ada.home).exit_code == 0
    assert run("share", group.text_id, "--text", "", home=ada.home).exit_code == 2
    read = json.loads(run("read", "Finance", "--json", home=ada.home).stdout)
    assert [item["text"] for item in read["items"]] == ["from stdin", "from text", "from a file"]


def test_read_exits_with_3_if_an_item_is_refused_and_shows_the_rest(
    world: World, ada: Member
) -> None:
    group = world.group_of(ada)
    for text in ("one", "two\x1b[2J"):
        run("share", group.text_id, "--text", text, home=ada.home)
    world.vendor.items[0].data = b"broken"
    read = run("read", group.text_id, home=ada.home)
    assert read.exit_code == 3
    assert "two" in read.stdout
    assert "\x1b" not in read.output
    assert "REFUSED malformed" in read.stderr


def test_waiting_exits_with_1(world: World, ada: Member) -> None:
    """Not granted yet, and an epoch that is being replaced, are no errors."""
    group = world.group_of(ada)
    other = world.group_of()
    assert run("open", other.text_id, home=ada.home).exit_code == 1
    world.org.close_epoch(group, left=[ada.id])
    waiting = run("share", group.text_id, "--text", "x", "--json", home=ada.home)
    assert waiting.exit_code == 1
    assert json.loads(waiting.stdout)["error"]["reason"] == "epoch_closed"


def test_devices_exits_with_1_until_the_key_is_bound(world: World, ada: Member) -> None:
    assert run("devices", home=ada.home).exit_code == 0
    world.vendor.binds = False
    waiting = world.member()
    assert run("devices", "--json", home=waiting.home).exit_code == 1


def test_refused_by_verification_exits_with_3(world: World, ada: Member) -> None:
    group = world.group_of(ada)
    world.vendor.head = OrgMaker().head()
    refused = run("open", group.text_id, home=ada.home)
    assert refused.exit_code == 3
    assert "wrong_organisation" in refused.stderr


def test_usage_exits_with_2_and_an_absent_server_with_4(world: World, ada: Member) -> None:
    assert run("groups", home=world.folder / "new").exit_code == 2
    assert run("open", "No such group", home=ada.home).exit_code == 2
    away = ("enrol", "--server", "http://127.0.0.1:9", "--code", "c")
    assert run(*away, home=world.folder / "new").exit_code == 4


def test_groups_lists_states(world: World, ada: Member) -> None:
    group = world.group_of(ada)
    listed = json.loads(run("groups", "--json", home=ada.home).stdout)
    assert [each["group_id"] for each in listed["groups"]] == [group.text_id]
    assert group.text_id in run("groups", home=ada.home).stdout


@pytest.mark.parametrize(
    "command",
    [
        *("enrol", "renew", "replace", "groups", "open", "share", "read"),
        *("devices", "endorse", "remove-device", "status"),
    ],
)
def test_help_names_exit_codes_and_the_next_step(command: str) -> None:
    shown = CliRunner().invoke(main, ["member", command, "--help"]).output
    assert "Exit codes: 0 done" in shown
    assert "--json" in shown
