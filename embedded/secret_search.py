"""Searches bytes for secrets in the forms in which a leak would show.

Forms: raw, hexadecimal (lower or upper case), base64 (standard or URL-safe alphabet, at each of
the three alignments in which a secret can lie inside longer data, also broken into lines), and
the way Python prints bytes.

The cost hardly depends on the number of secrets. An occurrence of at least 15 bytes covers some
block of 8 bytes that lies at a multiple of 8; so each needle's first 8 windows of 8 bytes go into
one table, and of the bytes searched only the blocks at multiples of 8 are looked up in it.
"""

import base64
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

_BLOCK = 8
_SHORTEST_NEEDLE = 2 * _BLOCK - 1
SHORTEST_SECRET = 16
"""Bytes. A shorter one could be found by chance, and some of its forms not at all."""

_CHUNK = 1 << 20
_LINE_BREAKS = b"\r\n"


@dataclass(frozen=True)
class Secret:
    """What must not be found, with a name that may be shown."""

    name: str
    value: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.value) < SHORTEST_SECRET:
            raise ValueError(
                f"{self.name} has {len(self.value)} bytes; "
                f"a secret to search for needs at least {SHORTEST_SECRET}"
            )


@dataclass(frozen=True)
class Finding:
    """One occurrence: which secret, in which form, in which source.

    `offset` counts bytes from the start of the source; in text that was joined over line breaks
    it counts without them.
    """

    secret: str
    form: str
    source: str
    offset: int

    def __str__(self) -> str:
        return f"{self.secret} ({self.form}) in {self.source} at byte {self.offset}"


@dataclass(frozen=True)
class _Needle:
    secret: str
    form: str
    pattern: bytes = field(repr=False)


class SecretSearch:
    """A search for a fixed set of secrets; `searched` counts the bytes looked at so far."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        self.searched = 0
        self._by_window: dict[int, list[_Needle]] = {}
        for secret in secrets:
            for form, pattern in forms(secret.value):
                self._add(_Needle(secret.name, form, pattern))
        self._windows = frozenset(self._by_window)

    def in_bytes(self, source: str, content: bytes) -> list[Finding]:
        """Return every occurrence of a secret in `content`, which findings call `source`."""
        self.searched += len(content)
        found = self._occurrences(source, content)
        joined = content.translate(None, _LINE_BREAKS)
        if len(joined) != len(content):
            known = {(finding.secret, finding.form) for finding in found}
            found += [
                finding
                for finding in self._occurrences(f"{source}, lines joined", joined)
                if (finding.secret, finding.form) not in known
            ]
        return found

    def _add(self, needle: _Needle) -> None:
        if len(needle.pattern) < _SHORTEST_NEEDLE:
            raise ValueError(f"{needle.secret} ({needle.form}) is too short to search for")
        for start in range(_BLOCK):
            (window,) = struct.unpack_from("=Q", needle.pattern, start)
            self._by_window.setdefault(window, []).append(needle)

    def _occurrences(self, source: str, content: bytes) -> list[Finding]:
        suspects: set[_Needle] = set()
        for start in range(0, len(content), _CHUNK):  # a chunk begins at a multiple of 8
            blocks = _blocks(content[start : start + _CHUNK])
            if not self._windows.isdisjoint(blocks):
                suspects.update(*(self._by_window[b] for b in self._windows.intersection(blocks)))
        return [
            Finding(needle.secret, needle.form, source, offset)
            for needle in sorted(suspects, key=lambda needle: (needle.secret, needle.form))
            for offset in _offsets(needle.pattern, content)
        ]


def forms(value: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield each form in which `value` could be written, with its name; each pattern once."""
    candidates = [
        ("raw", value),
        ("hex", value.hex().encode()),
        ("hex in capitals", value.hex().upper().encode()),
        ("as Python prints bytes", repr(value)[2:-1].encode()),
        *_base64_forms(value),
    ]
    seen: set[bytes] = set()
    for form, pattern in candidates:
        if pattern not in seen:
            seen.add(pattern)
            yield form, pattern


def _base64_forms(value: bytes) -> Iterator[tuple[str, bytes]]:
    for before in range(3):
        # Of the characters that these bits reach, those that no neighbouring byte reaches too.
        first = -(-8 * before // 6)
        end = 8 * (before + len(value)) // 6
        encoded = base64.b64encode(bytes(before) + value)[first:end]
        yield f"base64, alignment {before}", encoded
        yield f"URL-safe base64, alignment {before}", encoded.translate(_URL_SAFE)


_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def _blocks(chunk: bytes) -> tuple[int, ...]:
    whole = len(chunk) // _BLOCK  # a remainder of less than a block covers no window
    blocks: tuple[int, ...] = struct.unpack_from(f"={whole}Q", chunk)
    return blocks


def _offsets(pattern: bytes, content: bytes) -> Iterator[int]:
    offset = content.find(pattern)
    while offset >= 0:
        yield offset
        offset = content.find(pattern, offset + 1)
