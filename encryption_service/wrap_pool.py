"""Processes that seal: HPKE holds the interpreter's lock, so only processes use every core.

Each child answers one frame of jobs with one frame of results, over a pipe of its own; frames are
plain bytes, nothing is pickled. A child loads each public key, seals, and hashes the envelope, so
that the service only joins what comes back. A child whose parent is gone ends by itself.
"""

import hashlib
import signal
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from encryption_service.errors import SealingError
from encryption_service.key_store import KeyName, SealingKey
from encryption_service.sealing import SEALERS
from encryption_service.secret_bytes import SecretBytes
from groupseal.envelopes import GROUP_SECRET_LENGTH, envelope_infos
from groupseal.grants import GRANT_LENGTH

# Seals in one frame: enough to make the way worth it, few enough to share the work out evenly.
_LARGEST_CHUNK = 200
_SMALLEST_CHUNK = 8
# Fewer seals than this cost less here than the way to a child and back.
_INLINE = 4
_JOB = struct.Struct(f">{GROUP_SECRET_LENGTH}s16s16sII")
_KEY = struct.Struct(">16s32sHH")
_RESULT = struct.Struct(">II")
_LENGTH = struct.Struct(">I")
_Piece = tuple[memoryview, memoryview]  # grants, envelopes


@dataclass(frozen=True, slots=True)
class SealJob:
    """One group secret for a list of devices.

    The public keys are read from the store when they are needed, in the order of the names, so
    that the children begin with the first while the last are being read.
    """

    secret: SecretBytes
    organisation: bytes
    group: bytes
    epoch: int
    names: Sequence[KeyName]
    load_keys: Callable[[], Iterable[SealingKey]]

    def same_as(self, other: "SealJob") -> bool:
        """Whether both have the same result."""
        return (
            (self.group, self.epoch) == (other.group, other.epoch)
            and self.secret == other.secret
            and self.names == other.names
        )


@dataclass(frozen=True, slots=True)
class Sealed:
    """The parts `grants` and `envelopes` of an entry, in the order of the job's names."""

    grants: bytes = b""
    envelopes: bytes = b""


class Sealing:
    """Jobs under way; `results` waits for them."""

    def __init__(self, jobs: Sequence[SealJob]) -> None:
        self._jobs = jobs
        self._answers: list[tuple[list[int], Future[bytes]]] = []

    def add(self, numbers: list[int], answer: "Future[bytes]") -> None:
        self._answers.append((numbers, answer))

    def results(self) -> list[Sealed]:
        """One for each job, in order. Raises SealingError."""
        pieces: list[list[_Piece]] = [[] for _ in self._jobs]
        for numbers, answer in self._answers:
            for number, piece in zip(numbers, _read_results(answer.result()), strict=True):
                pieces[number].append(piece)
        return [_join(piece, len(job.names)) for piece, job in zip(pieces, self._jobs, strict=True)]


class WrapPool:
    """A fixed number of sealing processes, with a thread each that talks to it."""

    def __init__(self, processes: int) -> None:
        self._children = [_Child() for _ in range(processes)]
        self._threads = ThreadPoolExecutor(processes, "seal")
        self._idle = list(self._children)

    def start(self) -> None:
        """Starts the children; to be called before gRPC is, and from one thread."""
        for child in self._children:
            child.start()

    def stop(self) -> None:
        self._threads.shutdown(cancel_futures=True)
        for child in self._children:
            child.stop()

    def begin(self, jobs: Sequence[SealJob]) -> Sealing:
        """Has all jobs sealed, on all cores, after those that were begun before."""
        sealing = Sealing(jobs)
        if sum(len(job.names) for job in jobs) <= _INLINE:
            for number, job in enumerate(jobs):
                done: Future[bytes] = Future()
                done.set_result(_answer_here(_job_frame(job, list(job.load_keys()))))
                sealing.add([number], done)
            return sealing
        for frame, numbers in _frames(jobs, len(self._children)):
            sealing.add(numbers, self._threads.submit(self._ask, frame))
        return sealing

    def _ask(self, frame: bytes) -> bytes:
        # As many threads as children: there is always one that is idle.
        child = self._idle.pop()
        try:
            return child.ask(frame)
        finally:
            self._idle.append(child)


class _Child:
    """One sealing process, started again when it died."""

    def __init__(self) -> None:
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None

    def start(self) -> None:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=seal_until_eof, args=(theirs,), daemon=True, name="seal")
        process.start()
        theirs.close()
        self._process, self._pipe = process, ours

    def stop(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._process.join(2)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
        self._process = self._pipe = None

    def ask(self, frame: bytes) -> bytes:
        for _ in range(2):
            try:
                if self._pipe is None:
                    self.start()
                if self._pipe is None:
                    break
                self._pipe.send_bytes(frame)
                answer = self._pipe.recv_bytes()
            except (EOFError, OSError):
                self.stop()  # it died: a new one gets the frame again
                continue
            if not answer:
                raise SealingError("a sealing process refused a public key: run fsck")
            return answer
        raise SealingError("the sealing processes die at once: look at memory limits and logs")


def seal_until_eof(pipe: Connection) -> None:
    """Main of a child: answers frames until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    with pipe:
        while True:
            try:
                frame = pipe.recv_bytes()
            except (EOFError, OSError):
                return
            try:
                answer = seal_frame(frame)
            except ValueError:
                answer = b""
            pipe.send_bytes(answer)


def seal_frame(frame: bytes) -> bytes:
    """Jobs in, results out: count of grants, length of envelopes, then both."""
    at = 0
    results: list[bytes] = []
    while at < len(frame):
        secret, organisation, group, epoch, count = _JOB.unpack_from(frame, at)
        at += _JOB.size
        names: list[KeyName] = []
        keys: list[tuple[int, bytes]] = []
        for _ in range(count):
            member, key_id, suite, length = _KEY.unpack_from(frame, at)
            at += _KEY.size + length
            names.append((member, key_id))
            keys.append((suite, frame[at - length : at]))
        # One seal empties the processor's caches, so that what stands between two seals costs
        # several times what it costs in a loop of its own.
        infos = envelope_infos(organisation, group, epoch, names)
        envelopes = [
            SEALERS[suite](secret, key, info)
            for (suite, key), info in zip(keys, infos, strict=True)
        ]
        hashes = [hashlib.sha256(envelope).digest() for envelope in envelopes]
        grants = [b"".join((*name, h)) for name, h in zip(names, hashes, strict=True)]
        body = b"".join([_LENGTH.pack(len(envelope)) + envelope for envelope in envelopes])
        results += (_RESULT.pack(count, len(body)), *grants, body)
    return b"".join(results)


def _answer_here(frame: bytes) -> bytes:
    try:
        return seal_frame(frame)
    except ValueError as error:
        raise SealingError("a bound public key cannot be sealed to: run fsck") from error


def _frames(jobs: Sequence[SealJob], children: int) -> Iterator[tuple[bytes, list[int]]]:
    """Frames for all seals of the jobs, each with the numbers of the jobs in it."""
    frame: list[bytes] = []
    numbers: list[int] = []
    left = sum(len(job.names) for job in jobs)
    room = _chunk(left, children)
    for number, job in enumerate(jobs):
        keys = iter(job.load_keys())
        while piece := list(islice(keys, room)):
            frame.append(_job_frame(job, piece))
            numbers.append(number)
            room -= len(piece)
            left -= len(piece)
            if not room:
                yield b"".join(frame), numbers
                frame, numbers, room = [], [], _chunk(left, children)
    if frame:
        yield b"".join(frame), numbers


def _chunk(left: int, children: int) -> int:
    """Seals in the next frame: ever fewer towards the end, so that all children end together."""
    return min(max(left // children, _SMALLEST_CHUNK), _LARGEST_CHUNK)


def _job_frame(job: SealJob, keys: Sequence[SealingKey]) -> bytes:
    header = _JOB.pack(job.secret.reveal(), job.organisation, job.group, job.epoch, len(keys))
    frame, pack = [header], _KEY.pack
    for member, key_id, suite, public_key in keys:
        frame += (pack(member, key_id, suite, len(public_key)), public_key)
    return b"".join(frame)


def _read_results(answer: bytes) -> Iterator[_Piece]:
    at, view = 0, memoryview(answer)  # megabytes, which are copied once: where they are joined
    while at < len(answer):
        count, length = _RESULT.unpack_from(answer, at)
        at += _RESULT.size
        end = at + GRANT_LENGTH * count
        yield view[at:end], view[end : end + length]
        at = end + length


def _join(pieces: Sequence[_Piece], count: int) -> Sealed:
    if not count:
        return Sealed()
    envelopes: list[bytes | memoryview] = [_LENGTH.pack(count)]
    envelopes += (piece for _, piece in pieces)
    return Sealed(b"".join(grants for grants, _ in pieces), b"".join(envelopes))
