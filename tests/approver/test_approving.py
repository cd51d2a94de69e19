"""An approver's own machine: the key, the comparison, the signature."""

import base64
import json
import os
import re
import stat
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

from approver.comparing import agrees, without
from groupseal.approval_documents import ApprovalRequest, SignedApproval
from groupseal.cli import main
from groupseal.errors import SignatureError
from groupseal.identifiers import key_fingerprint

_NOW_2026 = 1_767_225_600_000
_DAY_MS = 86_400_000


def request(**fields: object) -> ApprovalRequest:
    values: dict[str, object] = {
        "organisation": uuid4().bytes,
        "organisation_fingerprint": "7ZK3M-00000-00000-00000-00000-00000-00000-00000",
        "group": uuid4().bytes,
        "group_name": "Finance",
        "member": uuid4().bytes,
        "user_name": "ada@example.com",
        "external_id": "00u1",
        "key_id": os.urandom(32),
    }
    return ApprovalRequest(**{**values, **fields})  # type: ignore[arg-type] # named by the test


def run(*arguments: object, typed: str = "") -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments], input=typed)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "ana.key"
    assert run("approver", "create", "--out", path).exit_code == 0
    return path


@pytest.fixture
def public_key(key_file: Path) -> bytes:
    printed = run("approver", "public", "--key", key_file).stdout
    return base64.b64decode(printed.removesuffix("\n"), validate=True)


def save(asked: ApprovalRequest, folder: Path) -> Path:
    path = folder / "request.json"
    path.write_text(asked.to_json())
    return path


# The key


def test_a_key_is_its_owners_alone_and_prints_its_public_half(tmp_path: Path) -> None:
    """The file is 0600 under any umask; what is printed is the policy's line."""
    path = tmp_path / "ana.key"
    former = os.umask(0)
    try:
        made = run("approver", "create", "--out", path, "--name", "ana")
    finally:
        os.umask(former)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = load_pem_private_key(path.read_bytes(), password=None)
    assert isinstance(key, Ed25519PrivateKey)
    text = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    assert made.stdout == f'- {{name: ana, key: "{text}"}}\n'
    assert run("approver", "public", "--key", path).stdout == f"{text}\n"


def test_a_key_is_never_overwritten(key_file: Path) -> None:
    """Losing a key by a repeated command would need a new policy."""
    before = key_file.read_bytes()
    again = run("approver", "create", "--out", key_file)
    assert (again.exit_code, key_file.read_bytes()) == (1, before)
    assert "never overwritten" in again.stderr


def test_a_key_that_others_may_read_is_not_used(key_file: Path, tmp_path: Path) -> None:
    """The remedy is in the text."""
    key_file.chmod(0o640)
    found = run("approve", "--key", key_file, save(request(), tmp_path), "--yes")
    assert (found.exit_code, found.stdout) == (1, "")
    assert f"chmod 600 {key_file}" in found.stderr


@pytest.mark.parametrize("content", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\n"])
def test_what_is_no_key_is_refused_without_its_content(tmp_path: Path, content: bytes) -> None:
    """Also an empty or damaged file."""
    path = tmp_path / "bad.key"
    path.write_bytes(content)
    path.chmod(0o600)
    found = run("approver", "public", "--key", path)
    assert found.exit_code == 1
    assert "is no key that `groupseal approver create` made" in found.stderr
    assert run("approver", "public", "--key", tmp_path / "none").exit_code == 1


# The comparison and the signature


def places(said: str) -> list[int]:
    """Which groups the tool asked for, counted from 0."""
    (found,) = re.findall(r"Type its groups (\d) and (\d)", said)
    return [int(each) - 1 for each in found]


def test_the_groups_that_are_asked_for_are_not_shown(key_file: Path, tmp_path: Path) -> None:
    """Whoever only copies from the screen cannot approve, and nothing is written."""
    asked = request()
    out = tmp_path / "approval.json"
    found = run(
        "approve", "--key", key_file, save(asked, tmp_path), "--out", out, typed="00000 00000\n"
    )
    groups = key_fingerprint(asked.key_id).split("-")
    for place in places(found.stderr):
        assert groups[place] not in found.stderr
    assert found.exit_code == 1
    assert "nothing was signed" in found.stderr
    assert not out.exists()


def test_the_groups_are_drawn_anew_each_time(key_file: Path, tmp_path: Path) -> None:
    """Nobody knows in advance in which places a made-up key must agree."""
    path = save(request(), tmp_path)
    drawn = {tuple(places(run("approve", "--key", key_file, path).stderr)) for _ in range(12)}
    assert len(drawn) > 1


def test_the_approver_sees_who_gets_where_and_until_when(key_file: Path, tmp_path: Path) -> None:
    """What is signed is shown first; nothing of it can steer the terminal."""
    asked = request(user_name="ada\x1b[2J\u202e", group_name="Fin\nance")
    found = run("approve", "--key", key_file, save(asked, tmp_path), "--yes")
    for text in (
        str(UUID(bytes=asked.organisation)),
        asked.organisation_fingerprint,
        str(UUID(bytes=asked.group or b"")),
        "Fin\\x0aance",
        str(UUID(bytes=asked.member)),
        "ada\\x1b[2J\\u202e (00u1), by the vendor's word",
        key_fingerprint(asked.key_id),
        "UTC",
    ):
        assert text in found.stderr
    assert "\x1b" not in found.stderr


@pytest.mark.parametrize("group", [uuid4().bytes, None], ids=["a group", "the key itself"])
def test_the_signature_is_for_exactly_what_was_asked(
    key_file: Path, public_key: bytes, tmp_path: Path, group: bytes | None
) -> None:
    """Organisation, group, member, key and a date; nothing else on standard output."""
    asked = request(group=group)
    found = run("approve", "--key", key_file, save(asked, tmp_path), "--yes", "--days", "7")
    assert found.exit_code == 0, found.stderr
    approval = SignedApproval.from_json(found.stdout.encode())
    statement = approval.statement
    assert (statement.organisation, statement.group) == (asked.organisation, group)
    assert (statement.member, statement.key_id) == (asked.member, asked.key_id)
    assert approval.approver_key == public_key
    statement.verify(public_key, approval.signature)
    again = SignedApproval.from_json(
        run(
            "approve", "--key", key_file, save(asked, tmp_path), "--yes", "--days", "8"
        ).stdout.encode()
    )
    longer = again.statement.expires_ms - statement.expires_ms
    assert _DAY_MS <= longer < _DAY_MS + 60_000
    assert statement.expires_ms > _NOW_2026


def test_a_signature_is_worth_nothing_for_anything_else(
    key_file: Path, public_key: bytes, tmp_path: Path
) -> None:
    """Another date, member, group or organisation does not verify."""
    found = run("approve", "--key", key_file, save(request(), tmp_path), "--yes")
    approval = SignedApproval.from_json(found.stdout.encode())
    for change in (
        {"expires_ms": approval.statement.expires_ms + 1},
        {"member": uuid4().bytes},
        {"group": uuid4().bytes},
        {"group": None},
        {"organisation": uuid4().bytes},
        {"key_id": os.urandom(32)},
    ):
        changed = replace(approval.statement, **change)
        with pytest.raises(SignatureError):
            changed.verify(public_key, approval.signature)


def test_a_file_that_is_there_is_not_overwritten(key_file: Path, tmp_path: Path) -> None:
    """An earlier approval is not lost."""
    out = tmp_path / "approval.json"
    out.write_text("earlier")
    found = run("approve", "--key", key_file, save(request(), tmp_path), "--yes", "--out", out)
    assert (found.exit_code, out.read_text()) == (1, "earlier")


def changed(asked: ApprovalRequest, **fields: object) -> str:
    return json.dumps({**json.loads(asked.to_json()), **fields})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"key_fingerprint": key_fingerprint(bytes(32))}, "key_fingerprint"),
        ({"key_id": "ab"}, "key_id"),
        ({"key_id": "A" * 64}, "key_id"),
        ({"member": "7F1D0B53-0000-4000-8000-000000000001"}, "member"),
        ({"group": 7}, "group"),
        ({"version": 2}, "version"),
        ({"version": True}, "version"),
        ({"type": "groupseal-approval"}, "type"),
        ({"more": 1}, "more"),
        ({"user_name": None}, "user_name"),
    ],
)
def test_a_request_that_was_changed_is_not_signed(
    key_file: Path, tmp_path: Path, fields: dict[str, object], said: str
) -> None:
    """Every field has one form; the text names the one that is wrong."""
    path = tmp_path / "request.json"
    path.write_text(changed(request(), **fields))
    found = run("approve", "--key", key_file, path, "--yes")
    assert (found.exit_code, found.stdout) == (1, "")
    assert said in found.stderr


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000, "x" * 20_000])
def test_what_is_no_request_is_not_signed(key_file: Path, tmp_path: Path, content: str) -> None:
    """Whatever the file holds, it is a sentence and the exit status 1."""
    path = tmp_path / "request.json"
    path.write_text(content)
    found = run("approve", "--key", key_file, path, "--yes")
    assert (found.exit_code, found.stdout) == (1, "")
    assert "the request is not usable" in found.stderr


def test_a_field_that_is_there_twice_is_refused(key_file: Path, tmp_path: Path) -> None:
    """No reader sees another value than the approver did."""
    path = tmp_path / "request.json"
    text = request().to_json()
    path.write_text(text.replace("{", '{"group_name": "Lunch",', 1))
    assert "twice" in run("approve", "--key", key_file, path, "--yes").stderr


def test_days_are_bounded_and_usage_is_the_exit_status_2(key_file: Path, tmp_path: Path) -> None:
    """An approval for ever is none."""
    path = save(request(), tmp_path)
    for days in ("0", "366", "x"):
        assert run("approve", "--key", key_file, path, "--yes", "--days", days).exit_code == 2
    assert run("approve", path).exit_code == 2


@settings(deadline=None, max_examples=60)
@given(
    st.binary(min_size=32, max_size=32),
    st.lists(st.integers(0, 7), min_size=2, max_size=2, unique=True).map(sorted),
)
def test_what_is_typed_agrees_with_what_was_left_open(key_id: bytes, asked: list[int]) -> None:
    """Case, spaces and hyphens do not count; everything else does."""
    fingerprint = key_fingerprint(key_id)
    groups = fingerprint.split("-")
    shown = without(fingerprint, asked).split("-")
    assert [i for i, each in enumerate(shown) if each != groups[i]] == asked
    typed = " ".join(groups[i].lower() for i in asked)
    assert agrees(typed, fingerprint, asked)
    assert agrees(typed.replace(" ", "-"), fingerprint, asked)
    assert not agrees(typed[:-1], fingerprint, asked)
    assert not agrees(f"{typed}0", fingerprint, asked)
    assert not agrees("", fingerprint, asked)


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=40), st.text(max_size=40), st.booleans())
def test_documents_read_back_what_was_written(name: str, user: str, has_group: bool) -> None:
    """Whatever people and groups are called."""
    asked = request(group_name=name, user_name=user, **({} if has_group else {"group": None}))
    try:
        text = asked.to_json().encode()
    except UnicodeEncodeError:
        return
    assert ApprovalRequest.from_json(text) == asked
