"""The commands of this package: worker, sweeper, tenant connect, authority create."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TextIO, TypeVar
from uuid import UUID

import click

from groupseal.errors import ProtocolError
from groupseal.pairing import ServiceIdentity
from groupseal.stop_signals import StopSignals
from worker.errors import PairingError, ServiceError, WorkerError

WRONG, REFUSED, UNREACHABLE = 1, 3, 4
_RETRY_SECONDS = 1.0
_T = TypeVar("_T")


@click.command()
def worker() -> None:
    """Reconcile tenants with their encryption services until SIGTERM or SIGINT."""
    from worker import jobs, logs
    from worker.settings import WorkerSettings, read_settings
    from worker.wiring import make_wiring

    settings = _or_usage_error(lambda: read_settings(WorkerSettings))
    logs.configure(settings.log_level)
    wiring = make_wiring(settings)
    jobs.install(wiring)
    try:
        _work(settings.redis_url)
    finally:
        jobs.install(None)
        wiring.close()


def _work(redis_url: str) -> None:
    """Starts RQ's worker again whenever Redis has ended it; a signal ends it for good."""
    import structlog
    from redis import Redis
    from redis.exceptions import RedisError

    from worker.rq_worker import GroupsealWorker

    log = structlog.get_logger("worker")
    stop = StopSignals()
    while True:
        connection = Redis.from_url(redis_url, socket_connect_timeout=2)
        try:
            rq_worker = GroupsealWorker(connection)
            rq_worker.work_until_stopped()
            if rq_worker.was_told_to_stop:
                return
        except RedisError as error:
            log.warning("redis_away", error=type(error).__name__)
        finally:
            connection.close()
        # RQ's handlers were in place meanwhile.
        stop.install()
        if stop.wait(_RETRY_SECONDS):
            return


@click.command()
def sweeper() -> None:
    """Wake workers for what no job is on its way for, until SIGTERM or SIGINT."""
    from contextlib import ExitStack
    from datetime import timedelta

    from directory.database import make_engine
    from directory.wake_up import make_redis
    from worker import logs
    from worker.settings import WatchingSettings, read_settings
    from worker.sweeper import Sweeper
    from worker.wiring import watching

    settings = _or_usage_error(lambda: read_settings(WatchingSettings))
    logs.configure(settings.log_level)
    stop = StopSignals()
    with ExitStack() as open_parts:
        engine = make_engine(settings.database_url, pool_size=1, application="groupseal sweeper")
        open_parts.callback(engine.dispose)
        redis = make_redis(settings.redis_url)
        open_parts.callback(redis.close)
        open_parts.enter_context(watching(settings))
        refresh = timedelta(seconds=settings.ledger_refresh)
        Sweeper(engine, redis, settings.sweep_interval, refresh).run(stop.wait)


@click.command("create")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="The folder to make; it becomes GROUPSEAL_AUTHORITY_DIR.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def authority_create(out: Path, as_json: bool) -> None:
    """Make the authority that signs the tenants' client certificates.

    The customers' services are given ca.crt; ca.key (mode 0600) never leaves the vendor.
    """
    from worker.client_certificates import Authority

    try:
        Authority.create(out)
    except WorkerError as error:
        _fail(str(error), WRONG)
    except OSError as error:
        _fail(f"{out} cannot be written: {error.strerror}", WRONG)
    certificate = str(out / "ca.crt")
    if as_json:
        click.echo(json.dumps({"certificate": certificate}))
    else:
        click.echo(f"Made {certificate} and its key. Customers' services are given the former.")


@click.command("connect")
@click.option("--tenant", required=True, help="The tenant's id.")
@click.option("--address", required=True, help="HOST:PORT of the encryption service.")
@click.option(
    "--identity",
    "document",
    type=click.File("r", encoding="utf-8"),
    required=True,
    help="What `encryption-service identity` prints; - for standard input.",
)
@click.option("--fingerprint", help="The right fingerprint; without it you are asked to compare.")
@click.option("--offline", is_flag=True, help="Do not call the service to see whether it answers.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def tenant_connect(
    *,
    tenant: str,
    address: str,
    document: TextIO,
    fingerprint: str | None,
    offline: bool,
    as_json: bool,
) -> None:
    """Connect a tenant with its customer's encryption service.

    Exit codes: 0 connected, 2 wrong use, 3 refused (another fingerprint, a damaged document,
    a service with another identity), 4 the service cannot be reached; 1 anything else.
    """
    from directory.database import make_engine
    from directory.wake_up import make_redis, wake
    from worker.client_certificates import Authority, tenant_identity
    from worker.pairing import Pairing, matching
    from worker.settings import PairingSettings, read_settings

    tenant_id = _tenant_id(tenant)
    confirm = _ask if fingerprint is None else matching(fingerprint)
    if fingerprint is None and document.name == "<stdin>":
        raise click.UsageError("--identity - needs --fingerprint: there is nobody to ask")
    settings = _or_usage_error(lambda: read_settings(PairingSettings))
    engine = make_engine(settings.database_url, pool_size=1, application="groupseal connect")
    pairing = Pairing(engine, Authority(settings.authority_dir), settings.call_timeout)
    try:
        connected = pairing.connect(tenant_id, address, document.read(), confirm, offline=offline)
    except PairingError as error:
        _fail(str(error), REFUSED)
    except ProtocolError as error:
        _fail(f"The identity document is refused ({error.reason}): {error}", REFUSED)
    except ServiceError as error:
        code = UNREACHABLE if error.reason.startswith("service_") else REFUSED
        hint = "" if code == REFUSED else " With --offline the tenant is connected all the same."
        _fail(f"{error} ({error.reason}). {error.reason.remedy}{hint}", code)
    except WorkerError as error:
        _fail(str(error), WRONG)
    finally:
        engine.dispose()
    redis = make_redis(settings.redis_url)
    wake(redis, tenant_id)
    redis.close()
    identity = tenant_identity(tenant_id)
    if as_json:
        shown = {
            "tenant_id": str(tenant_id),
            "organisation_id": connected.organisation_id,
            "fingerprint": connected.fingerprint,
            "service_address": connected.service_address,
            "trust_mode": connected.trust_mode,
            "client_identity": identity,
        }
        click.echo(json.dumps(shown))
    else:
        click.echo(
            f"Tenant {tenant_id} is connected with organisation {connected.organisation_id}"
            f" at {connected.service_address}.\nFingerprint {connected.fingerprint}\n"
            f"The service must allow the client identity {identity}"
        )


def _ask(identity: ServiceIdentity) -> bool:
    click.echo(f"Fingerprint {identity.fingerprint}")
    return click.confirm("Is this what `encryption-service fingerprint` prints at the customer's?")


def _tenant_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise click.UsageError(f"--tenant is the id of a tenant, a UUID, not {text!r}") from None


def _or_usage_error(read: Callable[[], _T]) -> _T:
    try:
        return read()
    except WorkerError as error:
        raise click.UsageError(str(error)) from None


def _fail(text: str, code: int) -> NoReturn:
    click.echo(text, err=True)
    sys.exit(code)
