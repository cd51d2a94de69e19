"""This device's two private keys, and what it tells others of them."""

import base64
import binascii
import os
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from groupseal.bindings import BindingRequest
from groupseal.identifiers import member_key_id
from groupseal.suites import Suite
from member_client import hpke
from member_client.errors import HomeError, NotEnrolledError
from member_client.home import Home
from member_client.hpke import XWingSeed
from member_client.secret import Secret

KEY_FILE = "device-key.json"
# Keys that are to follow those, while they are handed in.
NEXT_KEY_FILE = "next-key.json"
_VERSION = 1


class SigningSeed(Secret):
    """An Ed25519 private key (RFC 8032): 32 bytes."""


@dataclass(frozen=True, slots=True)
class DeviceKeys:
    """One pair to seal to (X-Wing) and one to sign with (Ed25519)."""

    hpke_seed: XWingSeed
    signing_seed: SigningSeed
    hpke_public_key: bytes
    signing_public_key: bytes

    @staticmethod
    def make() -> "DeviceKeys":
        """New random keys."""
        return DeviceKeys.from_seeds(XWingSeed(os.urandom(32)), SigningSeed(os.urandom(32)))

    @staticmethod
    def from_seeds(hpke_seed: XWingSeed, signing_seed: SigningSeed) -> "DeviceKeys":
        signing = Ed25519PrivateKey.from_private_bytes(signing_seed.reveal())
        return DeviceKeys(
            hpke_seed,
            signing_seed,
            hpke.public_key(hpke_seed),
            signing.public_key().public_bytes_raw(),
        )

    @property
    def suite(self) -> Suite:
        return Suite.XWING

    @property
    def key_id(self) -> bytes:
        return member_key_id(self.suite, self.hpke_public_key, self.signing_public_key)

    def sign(self, message: bytes) -> bytes:
        return Ed25519PrivateKey.from_private_bytes(self.signing_seed.reveal()).sign(message)


@dataclass(frozen=True, slots=True)
class Identity:
    """This device in its organisation: whose it is, and its keys."""

    organisation: bytes
    member: bytes
    keys: DeviceKeys

    def binding_request(self) -> BindingRequest:
        keys = self.keys
        return BindingRequest(
            self.organisation,
            self.member,
            keys.suite,
            keys.hpke_public_key,
            keys.signing_public_key,
        )


def load_keys(home: Home, file: str = KEY_FILE) -> DeviceKeys:
    """Raises NotEnrolledError where there are none, HomeError where they are not usable."""
    fields = home.read_json(file)
    if fields is None:
        raise NotEnrolledError(f"{home.folder} holds no device key: `groupseal member enrol` first")
    if fields.get("version") != _VERSION or fields.get("suite") != Suite.XWING:
        raise HomeError(f"{home.path(file)} is of another version: upgrade this client")
    return DeviceKeys.from_seeds(
        XWingSeed(_bytes_of(home, file, fields, "hpke_seed")),
        SigningSeed(_bytes_of(home, file, fields, "signing_seed")),
    )


def load_or_make_keys(home: Home, file: str = KEY_FILE) -> DeviceKeys:
    """The device's keys; made and stored at the first call."""
    try:
        return load_keys(home, file)
    except NotEnrolledError:
        keys = DeviceKeys.make()
    _store(home, file, keys)
    return keys


def change_keys(home: Home) -> None:
    """Makes the next keys the device's. The ones before stay in a file of their own, unused.

    After a crash in between it is repeated: the next keys go last.
    """
    before, after = load_keys(home), load_keys(home, NEXT_KEY_FILE)
    if before.key_id != after.key_id:
        _store(home, f"former-key-{before.key_id.hex()[:16]}.json", before)
        _store(home, KEY_FILE, after)
    home.remove(NEXT_KEY_FILE)


def _store(home: Home, file: str, keys: DeviceKeys) -> None:
    fields = {
        "version": _VERSION,
        "suite": int(Suite.XWING),
        "hpke_seed": base64.b64encode(keys.hpke_seed.reveal()).decode(),
        "signing_seed": base64.b64encode(keys.signing_seed.reveal()).decode(),
    }
    home.write_json(file, fields)


def _bytes_of(home: Home, file: str, fields: dict[str, Any], name: str) -> bytes:
    try:
        value = base64.b64decode(fields[name], validate=True)
    except (KeyError, TypeError, binascii.Error, ValueError):
        value = b""
    if len(value) != 32:
        raise HomeError(
            f"{home.path(file)}: {name} is damaged; restore the file or enrol in a new folder"
        )
    return value
