"""What the member API answers, parsed strictly. All of it is the vendor's word until verified."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from groupseal.encoding import HASH_LENGTH
from groupseal.errors import MalformedError
from groupseal.identifiers import identifier_from_text
from groupseal.suites import SIGNATURE_LENGTH, SIGNING_KEY_LENGTH


class Fields:
    """One JSON object of an answer. Every getter raises MalformedError, naming the field."""

    def __init__(self, value: Any) -> None:
        if not isinstance(value, Mapping):
            raise MalformedError("the server's answer is not a JSON object")
        self._value = value

    def has(self, name: str) -> bool:
        return self._value.get(name) is not None

    def _get(self, name: str, kind: type) -> Any:
        value = self._value.get(name)
        # bool is an int in Python, but not in the protocol.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise MalformedError(f"the server's answer has no proper {name}")
        return value

    def text(self, name: str) -> str:
        return str(self._get(name, str))

    def optional_text(self, name: str) -> str | None:
        return self.text(name) if self.has(name) else None

    def number(self, name: str) -> int:
        value = int(self._get(name, int))
        if not 0 <= value < 2**64:
            raise MalformedError(f"the server's answer has no proper {name}")
        return value

    def flag(self, name: str) -> bool:
        return bool(self._get(name, bool))

    def identifier(self, name: str) -> bytes:
        return identifier_from_text(self.text(name))

    def data(self, name: str, length: int | None = None) -> bytes:
        value = _base64(self.text(name), name)
        if length is not None and len(value) != length:
            raise MalformedError(f"{name} in the server's answer has another length")
        return value

    def list_of_bytes(self, name: str) -> list[bytes]:
        return [_base64(item, name) for item in self._get(name, list)]

    def objects(self, name: str) -> "list[Fields]":
        return [Fields(item) for item in self._get(name, list)]


def _base64(text: Any, name: str) -> bytes:
    try:
        if isinstance(text, str):
            return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise MalformedError(f"{name} in the server's answer is not base64")


@dataclass(frozen=True, slots=True)
class OrganisationAnswer:
    """The vendor's word. How keys are trusted is read in the ledger, whatever is said here."""

    organisation: bytes
    signing_public_key: bytes
    trust_mode: str | None

    @staticmethod
    def parse(of: Fields) -> "OrganisationAnswer":
        return OrganisationAnswer(
            of.identifier("organisation_id"),
            of.data("signing_public_key", SIGNING_KEY_LENGTH),
            of.optional_text("trust_mode"),
        )


@dataclass(frozen=True, slots=True)
class Device:
    """A device key of this member. State and reason are the vendor's word."""

    key_id: bytes
    state: str
    reason: str | None
    submitted_at: str | None = None
    # Of the member's own request to remove it: submitted, done or refused.
    removal: str | None = None

    @staticmethod
    def parse(of: Fields) -> "Device":
        return Device(
            key_id_from(of.text("key_id")),
            of.text("state"),
            of.optional_text("reason"),
            of.optional_text("submitted_at"),
            of.optional_text("removal"),
        )


@dataclass(frozen=True, slots=True)
class OfferedKey:
    """The key of a device, as another device has to see it to vouch for it. The vendor's word."""

    device: Device
    suite: int
    hpke_public_key: bytes
    signing_public_key: bytes
    possession_proof: bytes
    replaces: bool

    @staticmethod
    def parse(of: Fields) -> "OfferedKey":
        return OfferedKey(
            Device.parse(of),
            of.number("suite"),
            of.data("hpke_public_key"),
            of.data("signing_public_key", SIGNING_KEY_LENGTH),
            of.data("possession_proof", SIGNATURE_LENGTH),
            of.flag("replaces"),
        )


@dataclass(frozen=True, slots=True)
class Removal:
    """What became of a request to remove a device. The vendor's word; the ledger decides."""

    key_id: bytes
    removal: str | None
    reason: str | None

    @staticmethod
    def parse(of: Fields) -> "Removal":
        return Removal(
            key_id_from(of.text("key_id")), of.optional_text("removal"), of.optional_text("reason")
        )


@dataclass(frozen=True, slots=True)
class LedgerPage:
    entries: list[bytes]
    size: int
    head: str

    @staticmethod
    def parse(of: Fields) -> "LedgerPage":
        return LedgerPage(of.list_of_bytes("entries"), of.number("size"), of.text("head"))


@dataclass(frozen=True, slots=True)
class GroupListing:
    """A group this member shall be in. The name is the vendor's word: `open` shows the ledger's."""

    group_id: str
    display_name: str
    state: str
    reason: str | None
    epoch: int

    @staticmethod
    def parse(of: Fields) -> "GroupListing":
        of.identifier("group_id")
        return GroupListing(
            of.text("group_id"),
            of.text("display_name"),
            of.text("state"),
            of.optional_text("reason"),
            of.number("epoch") if of.has("epoch") else 0,
        )


@dataclass(frozen=True, slots=True)
class ServedGrant:
    """An envelope, where the ledger is said to have its grant, and the proof of it."""

    epoch: int
    position: int
    batch_index: int
    path: list[bytes]
    envelope: bytes
    name_part: bytes | None

    @staticmethod
    def parse(of: Fields) -> "ServedGrant":
        return ServedGrant(
            of.number("epoch"),
            of.number("position"),
            of.number("batch_index"),
            of.list_of_bytes("path"),
            of.data("envelope"),
            of.data("name_part") if of.has("name_part") else None,
        )


@dataclass(frozen=True, slots=True)
class ServedItem:
    item_id: str
    item: bytes
    created_at: str

    @staticmethod
    def parse(of: Fields) -> "ServedItem":
        return ServedItem(of.text("item_id"), of.data("item"), of.text("created_at"))


def key_id_from(text: str) -> bytes:
    """A key id as the API shows it: 64 hexadecimal digits, or base64 as other bytes."""
    try:
        value = bytes.fromhex(text) if len(text) == 2 * HASH_LENGTH else _base64(text, "key_id")
    except ValueError as error:
        raise MalformedError("key_id in the server's answer is not hexadecimal") from error
    if len(value) != HASH_LENGTH:
        raise MalformedError("key_id in the server's answer has another length")
    return value
