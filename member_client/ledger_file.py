"""The client's own verified copy of its organisation's ledger.

Two files: the entries, one after another with their lengths (append-only), and the newest head
that covers them. New entries are written only after a signed head over exactly them was accepted;
then the head. The head is what the client remembers: what is served later must continue it, or
the ledger was rolled back or forked (I6).
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from groupseal.checkpoint import Head
from groupseal.entries import GroupNamed, KeyUnbound
from groupseal.errors import LedgerOrderError, LedgerShrunkError, ProtocolError
from groupseal.ledger import LedgerVerifier
from groupseal.merkle import CompactRange
from groupseal.projection import Projection
from groupseal.reasons import Reason
from member_client.answers import LedgerPage
from member_client.errors import HomeError, WaitingError
from member_client.home import Home

ENTRIES_FILE = "ledger.bin"
HEAD_FILE = "head.txt"
_LENGTH = 4


class LedgerSource(Protocol):
    """Where further entries come from."""

    def ledger(self, start: int) -> LedgerPage: ...


@dataclass(slots=True)
class Ledger:
    """What the verified entries say, and the head that covers them."""

    projection: Projection = field(default_factory=Projection)
    range: CompactRange = field(default_factory=CompactRange)
    last_time_ms: int = 0
    head: Head | None = None
    # The head as it was signed, and the length of the stored entries that it covers.
    note: bytes | None = None
    stored_length: int = 0
    # Key that was unbound -> group -> the last epoch in which the key could write.
    unbound: dict[bytes, dict[bytes, int]] = field(default_factory=dict)
    # Group -> when it got its present name, by the entry's time.
    named_ms: dict[bytes, int] = field(default_factory=dict)


class LedgerFile:
    """The copy in a home, of the organisation with this id and pinned signing key."""

    def __init__(self, home: Home, organisation: bytes, public_key: bytes) -> None:
        self._home = home
        self._organisation = organisation
        self._public_key = public_key
        self._ledger: Ledger | None = None

    @property
    def ledger(self) -> Ledger:
        """As of the last accepted head. Raises HomeError where the files are damaged."""
        if self._ledger is None:
            self._ledger = self._load()
        return self._ledger

    def sync(self, source: LedgerSource) -> Ledger:
        """Takes in what was appended since, up to a signed head over exactly that.

        1. Each entry may follow the ones before it. 2. The head is signed by the pinned key, not
        shorter than the one seen last and covers exactly the entries given. 3. Entries, then the
        head are stored. Raises a ProtocolError and keeps what it had, or WaitingError where the
        vendor has no ledger yet.
        """
        with self._home.locked():
            if self._ledger and self._ledger.note != self._home.read(HEAD_FILE):
                self._ledger = None  # another process read on
            ledger = self.ledger
            # Whatever goes wrong below leaves the memory half changed: it is read again.
            self._ledger = None
            self._read_on(ledger, source)
            self._ledger = ledger
        return ledger

    def _read_on(self, ledger: Ledger, source: LedgerSource) -> None:
        verifier, added = self._verifier(ledger), list[bytes]()
        while True:
            page = source.ledger(verifier.range.size)
            for data in page.entries:
                _take_in(ledger, verifier, data)
                added.append(data)
            if verifier.range.size >= page.size:
                break
            if not page.entries:
                raise LedgerOrderError(f"entry {verifier.range.size} exists but was not given")
        if page.size == 0 and not page.head:
            raise _nothing(verifier.range.size)
        head = verifier.accept_head(page.head)
        ledger.range, ledger.last_time_ms = verifier.range, verifier.last_time_ms
        if added:
            self._append(ledger, added)
        # An older head over the same entries would only make the client forget what it knows.
        if ledger.head is None or added or head.time_ms > ledger.head.time_ms:
            ledger.head, ledger.note = head, page.head.encode()
            self._home.write(HEAD_FILE, ledger.note)

    def _verifier(self, ledger: Ledger) -> LedgerVerifier:
        return LedgerVerifier(
            self._organisation,
            self._public_key,
            ledger.range,
            ledger.projection.group_state,
            ledger.last_time_ms,
        )

    def _load(self) -> Ledger:
        ledger = Ledger(note=self._home.read(HEAD_FILE))
        if ledger.note is None:
            return ledger
        verifier = self._verifier(ledger)
        try:
            text = ledger.note.decode()
            size = _claimed_size(text)
            for position, data in enumerate(self._stored()):
                if position == size:
                    break
                _take_in(ledger, verifier, data)
                ledger.stored_length += _LENGTH + len(data)
            ledger.head = verifier.accept_head(text)
        except (ProtocolError, ValueError) as error:
            raise HomeError(
                f"{self._home.path(ENTRIES_FILE)} does not match {HEAD_FILE} ({error}): restore"
                " the folder from a backup, or enrol again in a new one"
            ) from error
        ledger.range, ledger.last_time_ms = verifier.range, verifier.last_time_ms
        return ledger

    def _stored(self) -> Iterator[bytes]:
        """The stored entries. What an interrupted write left at the end is not yielded."""
        data = self._home.read(ENTRIES_FILE) or b""
        at = 0
        while at + _LENGTH <= len(data):
            end = at + _LENGTH + int.from_bytes(data[at : at + _LENGTH], "big")
            if end > len(data):
                return
            yield data[at + _LENGTH : end]
            at = end

    def _append(self, ledger: Ledger, added: list[bytes]) -> None:
        """Writes after the entries that the last head covers, over what is left behind them."""
        path = self._home.path(ENTRIES_FILE)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.truncate(ledger.stored_length)
            file.seek(ledger.stored_length)
            file.writelines(len(data).to_bytes(_LENGTH, "big") + data for data in added)
            file.flush()
            os.fsync(file.fileno())
            ledger.stored_length = file.tell()
        self._home.sync_folder()


def _take_in(ledger: Ledger, verifier: LedgerVerifier, data: bytes) -> None:
    verified = verifier.add(data, None)
    ledger.projection.apply(verified)
    body = verified.entry.body
    if isinstance(body, KeyUnbound):
        groups = ledger.projection.groups.items()
        ledger.unbound[body.key_id] = {group: view.state.epoch for group, view in groups}
    elif isinstance(body, GroupNamed):
        ledger.named_ms[body.group] = verified.entry.time_ms


def _nothing(seen: int) -> Exception:
    if seen:
        return LedgerShrunkError(f"the server has no ledger, but {seen} entries were seen before")
    return WaitingError(
        Reason.NOT_CONNECTED, "the vendor has not read your organisation's ledger yet: try again"
    )


def _claimed_size(note: str) -> int:
    """Size in the second line of a stored head, whose signature is checked afterwards."""
    return int(note.split("\n", 2)[1])
