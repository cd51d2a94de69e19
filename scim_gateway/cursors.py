"""Pure: cursors (RFC 9865): a place in one search's results, opaque to the client.

A cursor holds no secret and no right: it is compared with the search it came from, and whoever
makes one up moves about in results that he could have asked for anyway.
"""

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from directory.search_pages import Position
from scim_gateway.errors import ExpiredCursorError, InvalidCursorError

# Announced as `pagination.cursorTimeout` (RFC 9865 §4).
CURSOR_SECONDS = 3_600
_MAX_LENGTH = 4_096
_START_AGAIN = "send an empty cursor to begin again at the first page"


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place, the direction of reading, the size of pages and how many resources there are."""

    position: Position
    backwards: bool
    count: int
    total: int


def search_digest(*marks: str) -> str:
    """What tells one search from another: tenant, kinds, filter and order."""
    return hashlib.sha256(json.dumps(marks).encode()).hexdigest()[:32]


def cursor_text(cursor: Cursor, digest: str, now: float) -> str:
    """The cursor as clients get it: Base64 for URLs."""
    key = cursor.position.key
    body = [
        *(digest, int(now), int(cursor.backwards), cursor.count, cursor.total),
        *(["time", key.isoformat()] if isinstance(key, datetime) else ["plain", key]),
        cursor.position.id,
    ]
    data = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def parse_cursor(text: str, digest: str, now: float, key_type: type) -> Cursor:
    """The cursor, whose key is None or of the type that the search is ordered by.

    Raises InvalidCursorError or ExpiredCursorError.
    """
    match _decoded(text):
        case [
            str(search),
            int(made),
            0 | 1 as backwards,
            int(count),
            int(total),
            ("time" | "plain") as form,
            key,
            str(identifier),
        ] if search == digest and 0 <= count <= 1_000 and 0 <= total < 2**53:
            if not now - CURSOR_SECONDS <= made <= now + CURSOR_SECONDS:
                raise ExpiredCursorError(
                    f"the cursor is older than {CURSOR_SECONDS} seconds: {_START_AGAIN}"
                )
            position = Position(_key(form, key, key_type), _identifier(identifier))
            return Cursor(position, bool(backwards), count, total)
        case [str(search), *_] if search != digest:
            raise InvalidCursorError(
                f"the cursor belongs to another search: keep filter and order, or {_START_AGAIN}"
            )
    raise _invalid()


def _decoded(text: str) -> object:
    if len(text) > _MAX_LENGTH or not text.isascii():
        raise _invalid()
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return json.loads(data.decode("utf-8"))
    except (binascii.Error, ValueError, RecursionError):
        raise _invalid() from None


def _key(form: str, key: object, key_type: type) -> object:
    """What a place is ordered by: anybody may have changed it, and the database compares it."""
    if form == "time":
        try:
            key = datetime.fromisoformat(key) if isinstance(key, str) else None
        except ValueError:
            raise _invalid() from None
        if key is None or key.tzinfo is None:
            raise _invalid()
    if isinstance(key, str) and ("\x00" in key or not _encodes(key)):
        raise _invalid()
    if key is not None and type(key) is not key_type:
        raise _invalid()
    return key


def _identifier(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise _invalid() from None


def _encodes(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _invalid() -> InvalidCursorError:
    return InvalidCursorError(f"the cursor is none that was given out: {_START_AGAIN}")
