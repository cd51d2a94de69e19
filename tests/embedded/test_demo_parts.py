"""The demo's rooms: the search finds what leaks, the player says what Okta says."""

import base64
import json
import random
import threading
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pytest
import redis
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from rich.console import Console

from embedded.demo_screen import Chapter, Screen, Step, Told
from embedded.demo_secrets import of_device, of_epoch, root_key
from embedded.okta_player import OktaPlayer, PushFailedError
from embedded.secret_search import Secret, SecretSearch, forms
from embedded.vendor_storage import files, redis_keys, tables
from member_client import hpke
from member_client.group_secrets import EpochKeys, GroupSecret

_DICE = random.Random(1)
_SECRET = _DICE.randbytes(32)
_ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "raw": bytes,
    "hex": lambda value: value.hex().encode(),
    "hex in capitals": lambda value: value.hex().upper().encode(),
    "base64": base64.b64encode,
    "URL-safe base64": base64.urlsafe_b64encode,
    "repr": lambda value: repr(value).encode(),
}


@pytest.fixture
def search() -> SecretSearch:
    others = [Secret(f"other {number}", _DICE.randbytes(32)) for number in range(50)]
    return SecretSearch([*others, Secret("the secret", _SECRET)])


@pytest.mark.parametrize("encoding", _ENCODINGS)
@pytest.mark.parametrize("before", range(9))
def test_a_secret_is_found_in_every_form_at_every_place(
    search: SecretSearch, encoding: str, before: int
) -> None:
    """Wherever the secret begins within what was encoded, and the encoding within the bytes."""
    inside = _DICE.randbytes(before) + _SECRET + _DICE.randbytes(5)
    for padding in range(8):
        content = _DICE.randbytes(padding) + _ENCODINGS[encoding](inside)
        (finding,) = search.in_bytes("a store", content)
        assert finding.secret == "the secret"
        assert finding.source == "a store"


@pytest.mark.parametrize("length", [16, 17, 18, 31, 33, 64])
def test_secrets_of_other_lengths_are_found_in_base64_at_every_alignment(length: int) -> None:
    value = _DICE.randbytes(length)
    for before in range(3):
        content = base64.b64encode(_DICE.randbytes(before) + value + _DICE.randbytes(2))
        assert SecretSearch([Secret("it", value)]).in_bytes("", content)


def test_a_secret_across_the_border_of_two_chunks_is_found(search: SecretSearch) -> None:
    for shift in range(-40, 8):
        content = bytes((1 << 20) + shift) + _SECRET + bytes(100)
        assert [finding.offset for finding in search.in_bytes("", content)] == [(1 << 20) + shift]


def test_base64_broken_into_lines_is_found(search: SecretSearch) -> None:
    encoded = base64.encodebytes(_DICE.randbytes(50) + _SECRET)
    assert [f.secret for f in search.in_bytes("a file", encoded)] == ["the secret"]


def test_every_occurrence_is_told_and_no_secret_is_shown(search: SecretSearch) -> None:
    found = search.in_bytes("a log", b"x" + _SECRET + b"yyy" + _SECRET.hex().encode() + _SECRET)
    assert sorted((finding.form, finding.offset) for finding in found) == [
        ("hex", 36),
        ("raw", 1),
        ("raw", 100),
    ]
    shown = f"{found} {search!r} {Secret('the secret', _SECRET)} {found[0]}"
    assert all(pattern not in shown.encode() for _, pattern in forms(_SECRET))


def test_nothing_is_found_where_nothing_is(search: SecretSearch) -> None:
    content = _DICE.randbytes(1 << 20) + _SECRET[:-1] + b"." + _SECRET[1:]
    assert search.in_bytes("noise", content) == []
    assert search.searched == len(content)


def test_a_secret_too_short_to_search_for_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="the PIN has 15 bytes"):
        Secret("the PIN", bytes(15))


def test_the_cost_does_not_grow_with_the_number_of_secrets() -> None:
    """Four thousand secrets, each found, in one pass over the bytes."""
    secrets = [Secret(str(number), _DICE.randbytes(32)) for number in range(4000)]
    content = b"-".join(base64.b64encode(secret.value) for secret in secrets)
    assert len(SecretSearch(secrets).in_bytes("all", content)) == 4000


def test_tables_and_redis_are_read_as_bytes(
    database_url: str, redis_url: str, search: SecretSearch
) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE leak (note text, body bytea)")
        connection.execute("INSERT INTO leak VALUES (%s, %s)", (_SECRET.hex(), _SECRET))
    with redis.Redis.from_url(redis_url) as client:
        client.set("text", _SECRET.hex())
        client.hset("job", "data", zlib.compress(b"prefix" + _SECRET))
        client.rpush("list", b"", _SECRET)
        client.sadd("set", _SECRET)
        client.zadd("sorted set", {_SECRET: 1})
        client.xadd("stream", {"result": base64.b64encode(zlib.compress(_SECRET))})
        client.set(b"name:" + _SECRET, "")
    sources = {
        finding.source
        for where, content in [*tables(database_url), *redis_keys(redis_url)]
        for finding in search.in_bytes(where, content)
    }
    assert {"table leak", "Redis key text", "Redis key job, unpacked"} <= sources
    assert {"Redis key list", "Redis key set", "Redis key sorted set"} <= sources
    assert "Redis key stream, unpacked" in sources
    assert any(source.startswith("name of Redis key name:") for source in sources)


def test_files_are_read_through_folders_and_packing(tmp_path: Path, search: SecretSearch) -> None:
    (tmp_path / "store" / "deep").mkdir(parents=True)
    (tmp_path / "store" / "deep" / "plain").write_bytes(_SECRET)
    (tmp_path / "store" / "packed").write_bytes(b"*3\r\n" + zlib.compress(_SECRET * 3))
    found = [
        finding.source
        for where, content in files([tmp_path / "store"], packed=True)
        for finding in search.in_bytes(where, content)
    ]
    assert set(found) == {"file store/deep/plain", "file store/packed, unpacked"}


def test_derived_keys_are_those_that_a_member_derives() -> None:
    """Otherwise the demo would search for bytes that nobody ever has."""
    organisation, group = _DICE.randbytes(16), _DICE.randbytes(16)
    keys = EpochKeys(GroupSecret(_SECRET), organisation, group, 3)
    found = {s.name: s.value for s in of_epoch("Finance", _SECRET, organisation, group, 3)}
    assert found["secret of Finance, epoch 3"] == _SECRET
    assert found["content key of Finance, epoch 3"] == keys.content_key.reveal()
    assert found["history key of Finance, epoch 3"] == keys.history_key.reveal()
    seed = found["private key seed of Finance, epoch 3"]
    assert hpke.public_key(hpke.XWingSeed(seed)) == keys.public_key


def test_a_device_key_s_halves_are_those_that_are_used() -> None:
    seed, signing = _DICE.randbytes(32), _DICE.randbytes(32)
    found = {s.name: s.value for s in of_device("Ada", seed, signing)}
    x25519 = X25519PrivateKey.from_private_bytes(found["Ada's private key to open with (X25519)"])
    mlkem = MLKEM768PrivateKey.from_seed_bytes(found["Ada's private key to open with (ML-KEM)"])
    public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
    assert public == hpke.public_key(hpke.XWingSeed(seed))
    assert found["Ada's private key to sign with"] == signing


def test_a_root_key_is_read_raw_or_as_base64(tmp_path: Path) -> None:
    for content in (_SECRET, base64.b64encode(_SECRET) + b"\n"):
        (tmp_path / "key").write_bytes(content)
        assert root_key(tmp_path / "key").value == _SECRET


class _Recorder(BaseHTTPRequestHandler):
    """A SCIM server that keeps nothing but what it was asked."""

    requests: ClassVar[list[tuple[str, str, dict[str, str], Any]]]
    refuse: ClassVar[bool]

    def _answer(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(size)) if size else None
        self.requests.append((self.command, self.path, dict(self.headers), body))
        listing = {"totalResults": 0, "itemsPerPage": 0, "startIndex": 1, "Resources": []}
        resource = {"id": "an-id", "active": False}
        content = json.dumps(listing if "?" in self.path else resource).encode()
        status = 400 if self.refuse else 201 if self.command == "POST" else 200
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = _answer  # noqa: N815 # the names http.server looks for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # its signature
        """Say nothing."""


class _Server:
    def __init__(self) -> None:
        class Handler(_Recorder):
            requests: ClassVar[list[tuple[str, str, dict[str, str], Any]]] = []
            refuse = False

        self.handler = Handler
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/scim/v2"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[_Server]:
    server = _Server()
    yield server
    server.close()


@pytest.fixture
def okta(server: _Server) -> Iterator[OktaPlayer]:
    with OktaPlayer(server.url, "the-token") as okta:
        yield okta


def test_okta_sends_its_own_header(server: _Server, okta: OktaPlayer) -> None:
    okta.push_user("ada@example.com")
    method, _, header, body = server.handler.requests[-1]
    assert method == "POST"
    assert header["User-Agent"] == "Okta SCIM Client 1.0.0"
    assert header["Accept"] == "application/scim+json"
    assert header["Content-Type"] == "application/scim+json; charset=utf-8"
    assert header["Authorization"] == "Bearer the-token"
    assert body["userName"] == "ada@example.com"
    assert body["active"] is True


def test_okta_speaks_both_dialects(server: _Server, okta: OktaPlayer) -> None:
    okta.test_connection()
    ada = okta.push_user("ada@example.com")
    server.handler.requests.clear()
    okta.put_group("Finance", [ada])
    group = okta.create_group("Design")
    okta.patch_group(group, add=[ada], remove=[ada])
    okta.deactivate(ada)
    sent = [(method, path.partition("?")[0]) for method, path, _, _ in server.handler.requests]
    path = "/scim/v2/Groups"
    assert sent == [
        *[("GET", path), ("POST", path), ("GET", f"{path}/an-id"), ("PUT", f"{path}/an-id")],
        *[("GET", path), ("POST", path), ("PATCH", f"{path}/an-id")],
        ("PATCH", "/scim/v2/Users/an-id"),
    ]
    whole, patch, off = (server.handler.requests[index][3] for index in (3, 6, 7))
    assert whole["id"] == "an-id"
    assert whole["members"] == [{"value": "an-id", "display": "ada@example.com"}]
    assert patch["Operations"] == [
        {"op": "replace", "value": {"id": "an-id", "displayName": "Design"}},
        {"op": "remove", "path": 'members[value eq "an-id"]'},
        {"op": "add", "path": "members", "value": whole["members"]},
    ]
    assert off["Operations"] == [{"op": "replace", "value": {"active": False}}]
    assert len(okta.answers) == 2 + 2 + len(sent)


def test_a_refused_push_is_told_with_its_answer_and_no_token(
    server: _Server, okta: OktaPlayer
) -> None:
    server.handler.refuse = True
    with pytest.raises(PushFailedError, match="GET /Users was answered with 400") as caught:
        okta.push_user("ada@example.com")
    assert "the-token" not in str(caught.value)


def test_the_screen_is_plain_lines_where_there_is_no_terminal() -> None:
    out = StringIO()
    screen = Screen(Console(file=out, highlight=False))

    def fail() -> Told:
        raise PushFailedError("no")

    steps = [Step("Pushing", lambda: Told("It was pushed.", "It can be.", ["fact"]))]
    with pytest.raises(PushFailedError):
        screen.play([Chapter("1  One", steps), Chapter("2  Two", [Step("Failing", fail)])])
    lines = out.getvalue().splitlines()
    assert lines == ["", "1  One", "✓ It was pushed.", "  → It can be.", "    fact", "", "2  Two"]
    assert screen.doing == "Failing"
