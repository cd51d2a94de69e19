"""Members with devices of their own: each runs the member's client in a folder of its own."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from embedded.demo_programs import Answer, DemoError, neutral_environment, run
from embedded.demo_secrets import of_device
from embedded.okta_player import Person, PushedGroup
from embedded.secret_search import Secret

_SIDE_BY_SIDE = 4
_REFUSALS = {1, 3}  # not granted (any more); refused by the server
_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass(frozen=True)
class Opened:
    """What a member's client says of a group that it opened and verified.

    `group_key` is the fingerprint of the epoch's public key, as `fingerprint_of` makes it.
    """

    epoch: int
    group_key: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True)
class Member:
    """A person and the folder in which the person's device keeps its keys."""

    person: Person
    home: Path

    @property
    def name(self) -> str:
        """The person's first name."""
        return self.person.given_name

    def enrol(self, server: str, code: str, fingerprint: str) -> None:
        """Make this device's keys and hand in the public halves."""
        options = ("--server", server, "--code", code, "--fingerprint", fingerprint)
        self._succeed("enrol", *options)

    def open(self, group: PushedGroup) -> Opened:
        """Open a group's newest key."""
        exported = self.home / f"secret-of-{group.name}"
        exported.unlink(missing_ok=True)
        content = self._succeed("open", group.id, "--export-secret", str(exported))
        secret = base64.b64decode(exported.read_bytes())
        return Opened(content["epoch"], content["group_key"], secret)

    def share(self, group: PushedGroup, text: str) -> None:
        """Seal a text to the group and hand it to the vendor."""
        self._succeed("share", group.id, text=text)

    def read(self, group: PushedGroup) -> list[str]:
        """Return the texts shared to the group that this member can open."""
        return [item["text"] for item in self._succeed("read", group.id)["items"]]

    def must_be_refused(self, command: str, group: PushedGroup) -> None:
        """Run a command; raise DemoError unless the vendor refuses to serve it."""
        answer = self._run(command, group.id)
        if answer.status == 0:
            raise DemoError(f"{self.name} could still `{command}` {group.name}.")
        if answer.status not in _REFUSALS or "error" not in (answer.content or {}):
            raise self._failure(command, answer)

    def secrets(self) -> list[Secret]:
        """Return what this device must keep to itself: private keys and its token."""
        token = json.loads((self.home / "session.json").read_text())["token"]
        seeds = (self._seed("hpke_seed"), self._seed("signing_seed"))
        return [*of_device(self.name, *seeds), Secret(f"{self.name}'s token", token.encode())]

    def public_key(self) -> bytes:
        """Return the public half of the key to sign with, which everybody may know."""
        private = Ed25519PrivateKey.from_private_bytes(self._seed("signing_seed"))
        return private.public_key().public_bytes_raw()

    def _seed(self, name: str) -> bytes:
        return base64.b64decode(json.loads((self.home / "device-key.json").read_text())[name])

    def _succeed(self, command: str, *arguments: str, text: str | None = None) -> Any:
        answer = self._run(command, *arguments, text=text)
        if answer.status != 0:
            raise self._failure(command, answer)
        return answer.content

    def _failure(self, command: str, answer: Answer) -> DemoError:
        return DemoError(
            f"`groupseal member {command}` of {self.name} ended with status {answer.status}: "
            f"{answer.errors or answer.content}"
        )

    def _run(self, command: str, *arguments: str, text: str | None = None) -> Answer:
        where = ("--home", str(self.home), "--json")
        environment = neutral_environment()
        return run(
            "groupseal", "member", command, *arguments, *where, environment=environment, text=text
        )


def fingerprint_of(public_key: bytes) -> str:
    """Return a group key's fingerprint in the form in which the member's client shows it."""
    return f"sha256:{hashlib.sha256(public_key).hexdigest()[:32]}"


def all_at_once(work: Callable[[_In], _Out], over: Iterable[_In]) -> list[_Out]:
    """Return the result of `work` for each, a few of them running side by side."""
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        return list(pool.map(work, over))
