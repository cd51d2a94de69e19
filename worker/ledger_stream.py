"""From the messages of ReadLedger to chunks: entries with their parts, closed by a signed head."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from encryption_api import encryption_pb2 as pb
from groupseal.errors import LedgerOrderError, MalformedError
from groupseal.parts import PartKind, Parts

# No honest service sends more before a head; more would be an attempt on our memory.
MAX_CHUNK_BYTES = 128 * 1024 * 1024


@dataclass(slots=True)
class RawChunk:
    """Entries as they came, unverified, and the note that shall cover them."""

    entries: list[tuple[bytes, Parts]] = field(default_factory=list)
    note: str = ""
    is_newest: bool = False
    acknowledged_size: int = 0
    holds_version: int = 0


def chunks(messages: Iterable[pb.ReadLedgerResponse]) -> Iterator[RawChunk]:
    """Puts messages together; holds one chunk at a time.

    Raises MalformedError for messages in an order that makes no sense, LedgerOrderError if the
    stream ends without the newest head.
    """
    assembly = _Assembly()
    ended = False
    for message in messages:
        if ended:
            raise MalformedError("the ledger goes on after its newest head")
        match message.WhichOneof("message"):
            case "entry":
                assembly.entry(message.entry.entry)
            case "part":
                assembly.part(message.part)
            case "head":
                chunk = assembly.close(message.head)
                ended = chunk.is_newest
                yield chunk
            case _:
                raise MalformedError("the ledger holds a message of an unknown kind")
    if not ended:
        raise LedgerOrderError("the ledger was cut off before its newest head")


class _Assembly:
    """The chunk that is being put together."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._chunk = RawChunk()
        self._size = 0
        self._open_kind: PartKind | None = None
        self._pieces: list[bytes] = []

    def entry(self, data: bytes) -> None:
        self._must_be_whole()
        self._count(len(data))
        self._chunk.entries.append((data, {}))

    def part(self, part: pb.EntryPart) -> None:
        if not self._chunk.entries:
            raise MalformedError("a part comes before any entry")
        try:
            kind = PartKind(part.kind)
        except ValueError as error:
            raise MalformedError(f"no part has the kind {part.kind}") from error
        parts = self._chunk.entries[-1][1]
        if self._open_kind not in {None, kind} or kind in parts:
            raise MalformedError("the pieces of parts are mixed up")
        self._count(len(part.piece))
        self._open_kind = kind
        self._pieces.append(part.piece)
        if part.last:
            parts[kind] = b"".join(self._pieces)
            self._open_kind, self._pieces = None, []

    def close(self, head: pb.LedgerHead) -> RawChunk:
        self._must_be_whole()
        chunk = self._chunk
        chunk.note, chunk.is_newest = head.head, head.newest
        chunk.acknowledged_size = head.acknowledged_size
        chunk.holds_version = head.holds_version
        self._start()
        return chunk

    def _must_be_whole(self) -> None:
        if self._open_kind is not None:
            raise MalformedError("a part ends before its last piece")

    def _count(self, length: int) -> None:
        self._size += length
        if self._size > MAX_CHUNK_BYTES:
            raise MalformedError("the ledger sends more than a chunk may hold before a head")
