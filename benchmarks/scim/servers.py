"""The gateway and its peers as processes, all ready before anything is measured.

The Python ones run under gunicorn with one process of eight threads, as the gateway does: those
that keep their data in memory can have no second process. PostgreSQL is one server with its
durable settings (fsync and synchronous commits), with a database for each who wants one.
"""

import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.scim.client import Client
from directory.database import make_engine
from directory.tenants import create_tenant
from directory.unit_of_work import UnitOfWork
from embedded.child_process import environment_with, spawn, stop, wait_until_ready
from embedded.ports import accepts_connections, free_port
from embedded.postgres_server import PostgresServer
from tests.support.folders import server_folder
from tests.support.gateway_process import GatewayProcess
from tests.support.valkey import RunningValkey
from tests.support.waiting import wait_for

ROOT = "/scim/v2"
_THREADS = "8"
# The rate limit counts every request, as in production, but refuses none of this load.
_OUR_SETTINGS = {
    "gateway_threads": _THREADS,
    "gateway_rate_per_second": "100000",
    "gateway_rate_burst": "1000000",
}
_GLUE = Path(__file__).parent / "peers"


@dataclass(frozen=True)
class Server:
    """A server that runs; `keeps` says where its data is."""

    name: str
    keeps: str
    port: int
    root: str
    token: str
    pid: int

    @property
    def uses_a_database(self) -> bool:
        """Whether what it stores outlives its process."""
        return self.keeps == "PostgreSQL"

    def client(self) -> Client:
        """A connection of its own."""
        return Client(self.name, self.port, self.root, self.token)


@dataclass(frozen=True)
class Running:
    """Everything that runs: ours, the others, and our database."""

    ours: Server
    peers: list[Server]
    database_url: str

    @property
    def servers(self) -> list[Server]:
        """All, ours first."""
        return [self.ours, *self.peers]

    def token_of_new_tenant(self, name: str) -> str:
        """A tenant without users in the gateway's database."""
        engine = make_engine(self.database_url)
        with UnitOfWork(engine) as uow:
            tenant = create_tenant(uow.connection, name)
            uow.commit()
        engine.dispose()
        return tenant.scim_token


@contextmanager
def running(peers: Path) -> Iterator[Running]:
    """Starts all of them; `peers` is the folder that install.sh filled."""
    with ExitStack() as stack:
        folder = stack.enter_context(server_folder("scim"))
        postgres = _postgres(stack, folder)
        ours = _ours(stack, folder, postgres)
        python, node = (peers / "python/bin").absolute(), (peers / "node").absolute()
        others = (_scim2_server(python), _scim2_flask(python), _django(python, postgres))
        started = [_start(stack, folder, peer) for peer in (*others, _scimmy(node))]
        yield Running(ours, started, postgres.url())


def _postgres(stack: ExitStack, folder: Path) -> PostgresServer:
    server = PostgresServer(folder / "postgres", free_port())
    server.prepare()
    spec = server.child()
    log = stack.enter_context((folder / "postgres.log").open("wb"))
    process = spawn(spec, log)
    stack.callback(stop, spec, process)
    wait_until_ready(spec, process)
    server.ensure_database()
    return server


def _ours(stack: ExitStack, folder: Path, postgres: PostgresServer) -> Server:
    valkey_folder = stack.enter_context(server_folder("scim-valkey"))
    valkey = RunningValkey(valkey_folder)
    stack.callback(valkey.stop)
    valkey.start()
    url = postgres.url()
    subprocess.run(
        [Path(sys.executable).with_name("groupseal"), "migrate"],
        env=environment_with(GROUPSEAL_DATABASE_URL=url),
        check=True,
        capture_output=True,
    )
    gateway = stack.enter_context(
        GatewayProcess(url, valkey.url, folder / "gateway.log", **_OUR_SETTINGS)
    )
    ours = Server("groupseal", "PostgreSQL", gateway.port, ROOT, "", gateway.process.pid)
    token = Running(ours, [], url).token_of_new_tenant("measured")
    return Server(ours.name, ours.keeps, ours.port, ROOT, token, ours.pid)


@dataclass(frozen=True)
class _Peer:
    """How a peer is started: its command, and where it then listens."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    keeps: str = "memory"
    root: str = ROOT
    port: int = field(default_factory=free_port)
    token: str = field(default_factory=lambda: secrets.token_hex(16))


def _scim2_server(python: Path) -> _Peer:
    return _Peer("scim2-server", _gunicorn(python, "scim2_server_app"), {}, root="/v2")


def _scim2_flask(python: Path) -> _Peer:
    return _Peer("scim2-flask", _gunicorn(python, "scim2_flask_app"), {})


def _django(python: Path, postgres: PostgresServer) -> _Peer:
    postgres.ensure_database("django")
    environment = {"PEER_DATABASE_URL": postgres.url("django")}
    command = _gunicorn(python, "django_site")
    peer = _Peer("django-scim2-server", command, environment, keeps="PostgreSQL")
    subprocess.run(
        [python / "python", "-m", "django", "migrate"],
        env=environment_with(
            PYTHONPATH=str(_GLUE),
            PEER_TOKEN=peer.token,
            DJANGO_SETTINGS_MODULE="django_site",
            **environment,
        ),
        check=True,
        capture_output=True,
    )
    return peer


def _scimmy(node: Path) -> _Peer:
    return _Peer("SCIMMY", ("node", str(node / "scimmy_app.js")), {"NODE_ENV": "production"})


def _gunicorn(python: Path, module: str) -> tuple[str, ...]:
    return (
        str(python / "gunicorn"),
        *("--chdir", str(_GLUE), "--no-control-socket", "--log-level", "warning"),
        *("--worker-class", "gthread", "--workers", "1", "--threads", _THREADS),
        *("--keep-alive", "30", "--timeout", "300"),
        f"{module}:app",
    )


def _start(stack: ExitStack, folder: Path, peer: _Peer) -> Server:
    environment = environment_with(
        PEER_TOKEN=peer.token, PEER_PORT=str(peer.port), PEER_SERVES="1", **peer.environment
    )
    environment["GUNICORN_CMD_ARGS"] = f"--bind 127.0.0.1:{peer.port}"
    log = folder / f"{peer.name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(peer.command, env=environment, stdout=output, stderr=output)
    stack.callback(_end, process)
    wait_for(lambda: accepts_connections(peer.port) or process.poll() is not None, 30, peer.name)
    if process.poll() is not None:
        raise RuntimeError(f"{peer.name} did not start: {log.read_text()[-2000:]}")
    return Server(peer.name, peer.keeps, peer.port, peer.root, peer.token, process.pid)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
