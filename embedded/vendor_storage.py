"""Everything that the vendor's side stored, as bytes to be searched.

Each function yields (where, content) pairs. What a store holds only in packed form (RQ packs what
it keeps in Redis with zlib, and base64 over it) is yielded packed and unpacked.
"""

import base64
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import redis
from psycopg import sql

Stored = tuple[str, bytes]

_TABLES = """
    SELECT schemaname, tablename FROM pg_tables
    WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
    ORDER BY schemaname, tablename
"""
_ZLIB_HEADER = re.compile(rb"\x78[\x01\x5e\x9c\xda]")
_BASE64_OF_ZLIB = re.compile(rb"e(?:J[w-z]|N[o-r]|F[4-7]|A[E-H])[A-Za-z0-9+/]{8,}")
_LONGEST_UNPACKED = 16 << 20


def tables(database_url: str) -> Iterator[Stored]:
    """Yield each table's rows in PostgreSQL's binary format: bytes and texts as they are."""
    with psycopg.connect(database_url) as connection:
        for schema, table in connection.execute(_TABLES).fetchall():
            name = sql.Identifier(schema, table)
            rows = sql.SQL("COPY {} TO STDOUT (FORMAT binary)").format(name)
            with connection.cursor() as cursor, cursor.copy(rows) as copy:
                yield f"table {table}", b"".join(bytes(block) for block in copy)


def redis_keys(redis_url: str) -> Iterator[Stored]:
    """Yield each key's name and value."""
    with redis.Redis.from_url(redis_url) as client:
        for key in client.scan_iter():
            shown = f"Redis key {key.decode('utf-8', 'replace')}"
            yield f"name of {shown}", key
            for value in _values(client, key):
                yield from _with_unpacked(shown, value)


def files(paths: Iterable[Path], *, packed: bool = False) -> Iterator[Stored]:
    """Yield each file's content, folders walked through; `packed`: look inside zlib as well."""
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_symlink() or not file.is_file():
                continue
            try:
                content = file.read_bytes()
            except FileNotFoundError:
                continue  # a database file that was removed meanwhile
            shown = f"file {file.relative_to(path.parent)}"
            yield from _with_unpacked(shown, content) if packed else [(shown, content)]


def _values(client: redis.Redis, key: bytes) -> Iterator[bytes]:
    kind = client.type(key)
    read: dict[bytes, Any] = {
        b"string": lambda: client.get(key),
        b"hash": lambda: client.hgetall(key),
        b"list": lambda: client.lrange(key, 0, -1),
        b"set": lambda: client.smembers(key),
        b"zset": lambda: client.zrange(key, 0, -1),
        b"stream": lambda: client.xrange(key),
    }
    if kind in read:  # else it expired meanwhile
        yield from _flattened(read[kind]())


def _flattened(value: object) -> Iterator[bytes]:
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, dict):
        yield from _flattened(list(value.items()))
    elif isinstance(value, list | tuple | set):
        for part in value:
            yield from _flattened(part)


def _with_unpacked(shown: str, content: bytes) -> Iterator[Stored]:
    yield shown, content
    packed = [content]
    for match in _BASE64_OF_ZLIB.finditer(content):
        run = match.group()
        packed.append(base64.b64decode(run[: len(run) // 4 * 4]))
    for block in packed:
        for match in _ZLIB_HEADER.finditer(block):
            unpacked = _inflated(memoryview(block)[match.start() :])
            if unpacked:
                yield f"{shown}, unpacked", unpacked


def _inflated(packed: memoryview) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, _LONGEST_UNPACKED)
    except zlib.error:
        return b""  # two bytes that look like the start of packed data
