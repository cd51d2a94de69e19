"""The arguments of a command that came over the socket: each in its one form, none left over."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from encryption_service.errors import ServiceError
from groupseal.encoding import HASH_LENGTH
from groupseal.errors import MalformedError
from groupseal.identifiers import identifier_from_text, key_fingerprint

# Symbols of a fingerprint that a person has to give at least: one group of five.
_SHORTEST_PREFIX = 5
_FINGERPRINT_SYMBOLS = 40
_LONGEST_TEXT = 1024
_Item = TypeVar("_Item")


class ArgumentError(ServiceError):
    """An argument is not usable; the text names it and says what to give."""


class Arguments:
    """Takes a request's arguments by name."""

    def __init__(self, request: dict[str, Any]) -> None:
        self._left = {name: value for name, value in request.items() if name != "command"}

    def text(self, name: str) -> str:
        value = self._left.pop(name, None)
        if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_TEXT:
            raise ArgumentError(f"{name.upper()} must be text of 1 to {_LONGEST_TEXT} characters")
        return value

    def flag(self, name: str) -> bool:
        value = self._left.pop(name, False)
        if not isinstance(value, bool):
            raise ArgumentError(f"{name.upper()} must be true or false")
        return value

    def identifier(self, name: str) -> bytes:
        try:
            return identifier_from_text(self.text(name).lower())
        except MalformedError as error:
            raise ArgumentError(f"{name.upper()}: {error}") from error

    def document(self, name: str) -> bytes:
        value = self._left.pop(name, None)
        if not isinstance(value, str):
            raise ArgumentError(f"{name.upper()} must be a document")
        return value.encode()

    def end(self) -> None:
        if self._left:
            raise ArgumentError(f"this command has no argument {min(self._left)}")


def find_key(
    text: str, among: Iterable[_Item], key_id_of: Callable[[_Item], bytes], where: str
) -> _Item:
    """The one item whose key is meant: by hexadecimal id, or by how its fingerprint begins.

    `where` ends the sentence for a key that is not there. Raises ArgumentError.
    """
    wanted = _key_test(text)
    found = {key_id_of(item): item for item in among if wanted(key_id_of(item))}
    if not found:
        raise ArgumentError(f"KEY: no key {where} is meant by it")
    if len(found) > 1:
        raise ArgumentError("KEY: several keys begin so: give more of the fingerprint")
    return next(iter(found.values()))


def _key_test(text: str) -> Callable[[bytes], bool]:
    plain = text.upper().replace("-", "").replace(" ", "")
    if len(plain) == 2 * HASH_LENGTH:
        try:
            key_id = bytes.fromhex(plain)
        except ValueError:
            raise ArgumentError("KEY: 64 characters must be the hexadecimal key id") from None
        return lambda candidate: candidate == key_id
    if not _SHORTEST_PREFIX <= len(plain) <= _FINGERPRINT_SYMBOLS:
        raise ArgumentError(
            f"KEY: give the key's id, or at least the first {_SHORTEST_PREFIX} symbols of its "
            "fingerprint"
        )
    return lambda candidate: key_fingerprint(candidate).replace("-", "").startswith(plain)
