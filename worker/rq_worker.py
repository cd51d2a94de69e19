"""RQ's in-process worker, made fit: heartbeats, JSON, one queue, and nothing but allowed jobs.

Whoever can write to Redis can name any function in a job. Here a job runs only if it names one
that is allowed, with one argument that is a tenant id; its callbacks and webhooks are ignored.
"""

import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import structlog
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer

from directory.wake_up import QUEUE, RECONCILE_TENANT
from worker.jobs import reconcile_tenant

_HEARTBEAT_SECONDS = 5.0
_EXECUTION_SECONDS = 20
# An idle worker blocks in dequeue for 15 s less than this.
_WORKER_SECONDS = 30
_MAINTENANCE_SECONDS = 60

ALLOWED: dict[str, Callable[[str], None]] = {RECONCILE_TENANT: reconcile_tenant}

_log = structlog.get_logger(__name__)


class ForbiddenJobError(Exception):
    """A job names a function, or has arguments, that this worker does not run."""


class GroupsealJob(Job):
    """A job that runs what is allowed and nothing else; nothing is imported by name."""

    @property
    def func(self) -> Callable[..., Any]:
        """The allowed function. Raises ForbiddenJobError."""
        allowed = ALLOWED.get(self.func_name or "")
        if allowed is None or self.instance is not None:
            raise ForbiddenJobError("a job names a function that is not allowed; is Redis open?")
        return allowed

    def _execute(self) -> None:
        function = self.func
        arguments = list(self.args)
        if self.kwargs or len(arguments) != 1 or not _is_uuid(arguments[0]):
            raise ForbiddenJobError("a job has other arguments than one tenant id")
        function(arguments[0])

    @property
    def success_callback(self) -> None:
        """None are called."""
        return

    @property
    def failure_callback(self) -> None:
        """None are called."""
        return

    @property
    def stopped_callback(self) -> None:
        """None are called."""
        return

    def send_webhooks(self, *_: object, **__: object) -> None:
        """Calls nobody, whatever a job asks for."""


def _is_uuid(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        return str(UUID(value)) == value
    except ValueError:
        return False


class GroupsealWorker(SimpleWorker):
    """Works in this process, so that channels are kept; a thread keeps its heart beating."""

    job_class = GroupsealJob
    log_result_lifespan = False
    # A restarted Redis is back in seconds.
    max_connection_wait_time = 2.0

    def __init__(self, connection: Redis) -> None:
        super().__init__(
            # Exactly one: only then does a job survive a worker that dies while taking it.
            [QUEUE],
            connection=connection,
            serializer=JSONSerializer,
            worker_ttl=_WORKER_SECONDS,
            maintenance_interval=_MAINTENANCE_SECONDS,
            log_job_description=False,
        )
        self._running: tuple[Job, Execution] | None = None

    @property
    def was_told_to_stop(self) -> bool:
        """A signal asked for the end, rather than a fault."""
        return self._shutdown_requested_date is not None

    def work_until_stopped(self) -> None:
        """Works until a signal comes or Redis fails beyond RQ's own patience."""
        over = threading.Event()
        heart = threading.Thread(target=self._beat, args=(over,), daemon=True)
        heart.start()
        try:
            self.work(logging_level="WARNING")
        finally:
            over.set()
            heart.join()

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Runs a job in this process, with heartbeats from the other thread."""
        execution = self.prepare_execution(job)
        self._running = (job, execution)
        try:
            self.perform_job(job, queue, execution)
        finally:
            self._running = None
        self.set_state("idle")

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:  # noqa: ARG002 # RQ's
        """After how many seconds without a heartbeat a job counts as abandoned."""
        return _EXECUTION_SECONDS

    def subscribe(self) -> None:
        """Takes no commands through Redis."""

    def unsubscribe(self) -> None:
        """There is nothing to end."""

    def clean_group_registries(self) -> None:
        """Job groups are not used, and reading them would unpickle."""

    def _beat(self, over: threading.Event) -> None:
        while not over.wait(_HEARTBEAT_SECONDS):
            running = self._running
            if running is None:
                continue
            try:
                self.maintain_heartbeats(*running)
            except RedisError as error:
                _log.warning("heartbeat_failed", error=type(error).__name__)
