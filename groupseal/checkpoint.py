"""Signed ledger heads: C2SP tlog-checkpoint in a C2SP signed note.

The note's text is

    groupseal/<organisation id>
    <size, decimal>
    <root hash, base64>
    time <milliseconds since the Unix epoch>
    state <state root, base64, or - where the head commits to none>

followed by an empty line and one Ed25519 signature line (signed-note, algorithm 0x01). There is
exactly one form for each head; anything else is refused.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from groupseal.encoding import HASH_LENGTH
from groupseal.errors import MalformedError, SignatureError, WrongOrganisationError
from groupseal.identifiers import identifier_from_text, identifier_to_text
from groupseal.suites import SIGNATURE_LENGTH

_ED25519 = b"\x01"
_KEY_HASH_LENGTH = 4
MAX_NOTE_LENGTH = 2048
_NOTE = re.compile(
    r"(?P<text>(?P<origin>groupseal/(?P<organisation>[0-9a-f-]{36}))\n"
    r"(?P<size>0|[1-9][0-9]{0,18})\n"
    r"(?P<root>[A-Za-z0-9+/=]{44})\n"
    r"time (?P<time>0|[1-9][0-9]{0,18})\n"
    r"state (?P<state>-|[A-Za-z0-9+/=]{44})\n)"
    r"\n"
    r"\N{EM DASH} (?P<name>\S+) (?P<signature>[A-Za-z0-9+/=]+)\n",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Head:
    """What a signed head says. Only `open_head` makes one out of foreign bytes."""

    organisation: bytes
    size: int
    root: bytes
    time_ms: int
    state_root: bytes | None = None

    @property
    def origin(self) -> str:
        return f"groupseal/{identifier_to_text(self.organisation)}"

    @property
    def text(self) -> str:
        """The signed text of the note, its final newline included."""
        state = "-" if self.state_root is None else _base64(self.state_root)
        origin, root = self.origin, _base64(self.root)
        return f"{origin}\n{self.size}\n{root}\ntime {self.time_ms}\nstate {state}\n"


def note_key_hash(name: str, public_key: bytes) -> bytes:
    """Four bytes that hint which key made a signature (C2SP signed-note)."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public_key).digest()[:_KEY_HASH_LENGTH]


def format_note(head: Head, public_key: bytes, signature: bytes) -> str:
    """The note with the signature that `public_key` made over `head.text`."""
    blob = _base64(note_key_hash(head.origin, public_key) + signature)
    return f"{head.text}\n\N{EM DASH} {head.origin} {blob}\n"


def open_head(note: str, organisation: bytes, public_key: bytes) -> Head:
    """Verifies a note under the organisation's pinned key and returns what it says.

    1. The note is canonical. 2. It is this organisation's. 3. The signature verifies.
    Raises MalformedError, WrongOrganisationError or SignatureError.
    """
    if len(note) > MAX_NOTE_LENGTH:
        raise MalformedError("a signed head is shorter than that")
    match = _NOTE.fullmatch(note)
    if match is None:
        raise MalformedError("this is not a signed head")
    state = None if match["state"] == "-" else _hash_from(match["state"])
    head = Head(
        organisation=identifier_from_text(match["organisation"]),
        size=int(match["size"]),
        root=_hash_from(match["root"]),
        time_ms=int(match["time"]),
        state_root=state,
    )
    if head.organisation != organisation:
        raise WrongOrganisationError("the head belongs to another organisation")
    if match["name"] != head.origin:
        raise MalformedError("the signature line names another origin")
    blob = _strict_base64(match["signature"])
    if len(blob) != _KEY_HASH_LENGTH + SIGNATURE_LENGTH:
        raise MalformedError("the signature line has another length")
    if blob[:_KEY_HASH_LENGTH] != note_key_hash(head.origin, public_key):
        raise SignatureError("the head is signed by another key than the pinned one")
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(
            blob[_KEY_HASH_LENGTH:], head.text.encode()
        )
    except InvalidSignature as error:
        raise SignatureError("the head's signature does not verify") from error
    return head


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _strict_base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedError("this is not base64") from error
    if _base64(data) != text:
        raise MalformedError("this is not canonical base64")
    return data


def _hash_from(text: str) -> bytes:
    value = _strict_base64(text)
    if len(value) != HASH_LENGTH:
        raise MalformedError("a root hash has 32 bytes")
    return value
