"""The service's store: one SQLite database in WAL mode, one writer, readers beside it.

`synchronous=FULL`: what is committed survives a power cut, so it may be signed and sent.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, LifoQueue
from typing import IO

from encryption_service.errors import StoreError

_DATABASE = "encryption-service.sqlite3"
_LOCK = "lock"
_IDLE_READERS = 8
_BUSY_SECONDS = 30.0

# One script per version of the schema; a store of version n is brought on by the scripts after n.
_MIGRATIONS = (
    """
    CREATE TABLE service (
      id INTEGER PRIMARY KEY CHECK (id = 1),
      organisation BLOB NOT NULL,
      sealed_keyset BLOB NOT NULL,
      ledger_range BLOB NOT NULL,
      acknowledged_size INTEGER NOT NULL DEFAULT 0,
      halted_reason TEXT,
      halted_detail TEXT
    );
    CREATE TABLE entries (
      position INTEGER PRIMARY KEY,
      entry BLOB NOT NULL,
      root BLOB NOT NULL,
      time_ms INTEGER NOT NULL
    );
    CREATE TABLE parts (
      id INTEGER PRIMARY KEY,
      position INTEGER NOT NULL REFERENCES entries (position),
      kind INTEGER NOT NULL,
      body BLOB NOT NULL,
      UNIQUE (position, kind)
    );
    CREATE INDEX envelopes_kept ON parts (position) WHERE kind = 2;
    CREATE TABLE acknowledgements (
      size INTEGER PRIMARY KEY,
      at_ms INTEGER NOT NULL
    );
    CREATE TABLE member_keys (
      id INTEGER PRIMARY KEY,
      key_id BLOB NOT NULL UNIQUE,
      member BLOB NOT NULL,
      suite INTEGER NOT NULL,
      hpke_public_key BLOB NOT NULL,
      signing_public_key BLOB NOT NULL,
      position INTEGER NOT NULL REFERENCES entries (position)
    );
    CREATE INDEX keys_of_member ON member_keys (member, key_id);
    CREATE TABLE refused_keys (
      key_id BLOB NOT NULL,
      member BLOB NOT NULL,
      reason TEXT NOT NULL,
      position INTEGER NOT NULL REFERENCES entries (position),
      PRIMARY KEY (key_id, member)
    ) WITHOUT ROWID;
    CREATE TABLE groups (
      number INTEGER PRIMARY KEY,
      group_id BLOB NOT NULL UNIQUE,
      last_position INTEGER NOT NULL,
      epoch INTEGER NOT NULL,
      is_open INTEGER NOT NULL,
      public_key BLOB NOT NULL,
      roster_digest BLOB NOT NULL,
      roster_size INTEGER NOT NULL,
      sealed_secret BLOB NOT NULL,
      display_name TEXT,
      identity_provider_group_id TEXT,
      opening_started_ms INTEGER,
      opening_took_ms INTEGER NOT NULL,
      opening_ended_ms INTEGER NOT NULL,
      needs_work INTEGER NOT NULL
    );
    CREATE INDEX groups_with_work ON groups (number) WHERE needs_work = 1;
    CREATE TABLE roster (
      number INTEGER NOT NULL REFERENCES groups (number),
      member BLOB NOT NULL,
      PRIMARY KEY (number, member)
    ) WITHOUT ROWID;
    CREATE INDEX groups_of_member ON roster (member, number);
    CREATE TABLE roster_changes (
      number INTEGER NOT NULL REFERENCES groups (number),
      member BLOB NOT NULL,
      joins INTEGER NOT NULL,
      PRIMARY KEY (number, member)
    ) WITHOUT ROWID;
    CREATE TABLE grants (
      number INTEGER NOT NULL REFERENCES groups (number),
      member BLOB NOT NULL,
      key_id BLOB NOT NULL,
      epoch INTEGER NOT NULL,
      PRIMARY KEY (number, member, key_id)
    ) WITHOUT ROWID;
    CREATE TABLE pending_grants (
      number INTEGER NOT NULL REFERENCES groups (number),
      member BLOB NOT NULL,
      key_id BLOB NOT NULL,
      PRIMARY KEY (number, member, key_id)
    ) WITHOUT ROWID;
    """,
    # Trust, policy and what they hold back.
    """
    ALTER TABLE service ADD COLUMN holds_version INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE service ADD COLUMN trust_digest BLOB;
    ALTER TABLE service ADD COLUMN policy_digest BLOB;
    ALTER TABLE service ADD COLUMN frozen INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE member_keys ADD COLUMN trust_mode INTEGER NOT NULL DEFAULT 3;
    ALTER TABLE member_keys ADD COLUMN endorsing_key_id BLOB;
    -- For the few that are not as most are.
    CREATE INDEX keys_by_suite ON member_keys (suite);
    CREATE INDEX keys_by_trust_mode ON member_keys (trust_mode);
    CREATE TABLE subjects (
      member BLOB PRIMARY KEY,
      issuer TEXT NOT NULL,
      subject TEXT NOT NULL,
      salt BLOB NOT NULL,
      -- High-water mark: `iat` of the newest evidence that was taken.
      evidence_time_ms INTEGER NOT NULL,
      UNIQUE (issuer, subject)
    ) WITHOUT ROWID;
    -- By the vendor's word.
    CREATE TABLE members (
      member BLOB PRIMARY KEY,
      external_id TEXT NOT NULL,
      user_name TEXT NOT NULL
    ) WITHOUT ROWID;
    -- Never bound again.
    CREATE TABLE former_keys (
      key_id BLOB PRIMARY KEY,
      member BLOB NOT NULL,
      signing_public_key BLOB NOT NULL,
      position INTEGER NOT NULL REFERENCES entries (position)
    ) WITHOUT ROWID;
    -- Keys that wait for an approver.
    CREATE TABLE offered_keys (
      key_id BLOB NOT NULL,
      member BLOB NOT NULL,
      suite INTEGER NOT NULL,
      hpke_public_key BLOB NOT NULL,
      signing_public_key BLOB NOT NULL,
      possession_proof BLOB NOT NULL,
      replaces INTEGER NOT NULL,
      offered_ms INTEGER NOT NULL,
      PRIMARY KEY (member, key_id)
    ) WITHOUT ROWID;
    CREATE TABLE approvals (
      group_id BLOB NOT NULL,
      member BLOB NOT NULL,
      key_id BLOB NOT NULL,
      approver_key BLOB NOT NULL,
      expires_ms INTEGER NOT NULL,
      position INTEGER NOT NULL REFERENCES entries (position),
      PRIMARY KEY (group_id, member, key_id, approver_key)
    ) WITHOUT ROWID;
    -- Approvals of a key itself; they go into the entry that binds it.
    CREATE TABLE key_approvals (
      member BLOB NOT NULL,
      key_id BLOB NOT NULL,
      approver_key BLOB NOT NULL,
      expires_ms INTEGER NOT NULL,
      signature BLOB NOT NULL,
      PRIMARY KEY (member, key_id, approver_key)
    ) WITHOUT ROWID;
    ALTER TABLE groups ADD COLUMN must_rotate INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE groups ADD COLUMN source_group_id TEXT;
    ALTER TABLE groups ADD COLUMN source_name TEXT;
    ALTER TABLE groups ADD COLUMN source_reason TEXT;
    -- Protected groups that a key's endorsing key held when it endorsed.
    CREATE TABLE endorsements (
      number INTEGER NOT NULL REFERENCES groups (number),
      key_id BLOB NOT NULL,
      PRIMARY KEY (number, key_id)
    ) WITHOUT ROWID;
    -- Every name that a group ever had: protection by name stays with the group.
    CREATE TABLE group_names (
      number INTEGER NOT NULL REFERENCES groups (number),
      name TEXT NOT NULL,
      PRIMARY KEY (number, name)
    ) WITHOUT ROWID;
    INSERT INTO group_names (number, name)
      SELECT number, display_name FROM groups WHERE display_name IS NOT NULL;
    -- Keys of members on the roster that are due and not granted. `due`: to be looked at (again);
    -- a reason of NULL: not looked at yet.
    CREATE TABLE holds (
      number INTEGER NOT NULL REFERENCES groups (number),
      member BLOB NOT NULL,
      key_id BLOB NOT NULL,
      due INTEGER NOT NULL,
      reason TEXT,
      since_ms INTEGER NOT NULL,
      next_try_ms INTEGER,
      version INTEGER NOT NULL,
      PRIMARY KEY (number, member, key_id)
    ) WITHOUT ROWID;
    CREATE INDEX holds_due ON holds (number) WHERE due = 1;
    CREATE INDEX holds_by_try ON holds (next_try_ms) WHERE due = 0 AND next_try_ms IS NOT NULL;
    CREATE INDEX holds_by_version ON holds (version);
    CREATE INDEX holds_by_reason ON holds (reason, number);
    -- Token buckets of seals; number 0: all groups together.
    CREATE TABLE quotas (
      number INTEGER PRIMARY KEY,
      used REAL NOT NULL,
      at_ms INTEGER NOT NULL
    );
    """,
)
SCHEMA_VERSION = len(_MIGRATIONS)


class Store:
    """Connections to the database in one data folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _DATABASE
        self._idle: LifoQueue[sqlite3.Connection] = LifoQueue(_IDLE_READERS)

    @property
    def exists(self) -> bool:
        return self._path.exists()

    def migrate(self) -> None:
        """Makes the database or brings its schema up to date. Raises StoreError."""
        connection = self._connect()
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            version = _schema_version(connection)
            if version > SCHEMA_VERSION:
                raise StoreError(
                    f"the store in {self._path.parent} has schema version {version}; this "
                    f"version of the service knows {SCHEMA_VERSION}: start a newer one"
                )
            for number in range(version, SCHEMA_VERSION):
                connection.executescript(
                    f"BEGIN IMMEDIATE; {_MIGRATIONS[number]} "
                    f"PRAGMA user_version = {number + 1}; COMMIT;"
                )
        finally:
            connection.close()

    def open_writer(self) -> sqlite3.Connection:
        """The one connection that writes; the caller begins and commits."""
        connection = self._connect()
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = OFF")  # checked by fsck; costs a fifth of a batch
        # A batch of envelopes is 6 MB: checkpoint after several, not within each. It comes to that
        # only where the writer has no pause (`Checkpointer`).
        connection.execute("PRAGMA wal_autocheckpoint = 8000")
        connection.execute("PRAGMA cache_size = -32000")
        return connection

    @contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        """A connection that can only read, for one call.

        Raises StoreError where there is no store yet or its schema is another one.
        """
        try:
            connection = self._idle.get_nowait()
        except Empty:
            connection = self._open_reader()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        if connection.in_transaction:
            connection.rollback()
        if self._idle.full():
            connection.close()
        else:
            self._idle.put(connection)

    def checkpoint(self) -> None:
        """Carries over what it can of the write-ahead log; neither writer nor readers wait."""
        with self.reader() as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def close(self) -> None:
        """Closes the idle readers."""
        while not self._idle.empty():
            self._idle.get_nowait().close()

    def _open_reader(self) -> sqlite3.Connection:
        if not self.exists:
            raise StoreError(
                f"{self._path.parent} holds no store yet: start `encryption-service serve` once, "
                "or correct GROUPSEAL_SERVICE_DATA_DIR"
            )
        connection = self._connect()
        connection.execute("PRAGMA query_only = ON")
        if (version := _schema_version(connection)) != SCHEMA_VERSION:
            connection.close()
            raise StoreError(
                f"the store has schema version {version}, this command knows {SCHEMA_VERSION}: "
                "use the command of the version that serves"
            )
        return connection

    def _connect(self) -> sqlite3.Connection:
        try:
            return sqlite3.connect(
                self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        except sqlite3.OperationalError as error:
            raise StoreError(f"{self._path} cannot be opened ({error})") from error


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Everything read inside is of one moment; writers are not held up."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.rollback()


def prepare_folder(folder: Path) -> None:
    """Makes the data folder, for its owner alone. Raises StoreError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the folder {folder} (GROUPSEAL_SERVICE_DATA_DIR) cannot be made ({error.strerror})"
        ) from error


def lock_folder(folder: Path) -> IO[bytes]:
    """Takes the folder for this process; it is free again when the file is closed.

    Raises StoreError while another service holds it.
    """
    file = os.fdopen(os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise StoreError(
            f"another encryption service runs on {folder}: two on one store would sign two "
            "histories. Stop it first."
        ) from error
    return file


def _schema_version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
