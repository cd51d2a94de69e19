"""`ReadLedger`: entries with their parts in chunks that each end with a signed head.

Memory is bounded: entries are read one by one and parts in pieces. Each chunk is read from one
snapshot, so that a slow reader neither blocks the writer nor keeps it from tidying up for long.
"""

import sqlite3
from collections.abc import Iterator

from encryption_api import encryption_pb2 as pb
from encryption_service.heads import HeadSigner
from encryption_service.ledger_store import PartRow, StoredEntry, parts_of, read_entries
from encryption_service.store import snapshot

_CHUNK_ENTRIES = 200
_CHUNK_BYTES = 4 * 1024 * 1024
_PIECE_BYTES = 1024 * 1024


def stream_ledger(
    connection: sqlite3.Connection,
    signer: HeadSigner,
    start: int,
    end: int,
    *,
    acknowledged_size: int,
    holds_version: int,
) -> Iterator[pb.ReadLedgerResponse]:
    """Everything from entry `start` to before `end`, and the newest head."""
    position = start
    while position < end:
        last = None
        with snapshot(connection):
            for last in _chunk(connection, position, end):
                yield pb.ReadLedgerResponse(
                    entry=pb.LedgerEntry(position=last.position, entry=last.data)
                )
                for part in parts_of(connection, last.position):
                    yield from _pieces(connection, part)
        if last is None:
            raise LookupError(f"entry {position} is missing from the store: run fsck")
        position = last.position + 1
        if position < end:
            note = signer.sign(position, last.root, last.time_ms)
            yield pb.ReadLedgerResponse(
                head=pb.LedgerHead(head=note, acknowledged_size=acknowledged_size)
            )
    note = signer.newest(connection, end)
    yield pb.ReadLedgerResponse(
        head=pb.LedgerHead(
            head=note,
            newest=True,
            acknowledged_size=acknowledged_size,
            holds_version=holds_version,
        )
    )


def _chunk(connection: sqlite3.Connection, start: int, end: int) -> Iterator[StoredEntry]:
    sent = 0
    for entry in read_entries(connection, start, end, _CHUNK_ENTRIES):
        yield entry
        sent += len(entry.data)
        sent += sum(part.length for part in parts_of(connection, entry.position))
        if sent >= _CHUNK_BYTES:
            return


def _pieces(connection: sqlite3.Connection, part: PartRow) -> Iterator[pb.ReadLedgerResponse]:
    kind = pb.PartKind.ValueType(part.kind)
    with connection.blobopen("parts", "body", part.row, readonly=True) as blob:
        left = part.length
        while left > 0:
            piece = blob.read(min(left, _PIECE_BYTES))
            left -= len(piece)
            yield pb.ReadLedgerResponse(part=pb.EntryPart(kind=kind, piece=piece, last=left == 0))
