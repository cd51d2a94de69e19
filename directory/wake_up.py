"""Hints to the workers, through Redis. Losing one costs time and nothing else: a sweeper looks too.

A hint names a tenant. The key `groupseal:wake:<tenant>` coalesces: while it is there, a waiting job
has not begun to read yet, so another would be superfluous. The job deletes the key as its very
first step (`begin`), before it reads the database.
"""

import logging
from uuid import UUID

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue
from rq.serializers import JSONSerializer

QUEUE = "groupseal"
RECONCILE_TENANT = "worker.jobs.reconcile_tenant"
_COALESCE_SECONDS = 5
_JOB_TIMEOUT_SECONDS = 180
_FAILURE_TTL_SECONDS = 86_400
_REDIS_SECONDS = 0.5

_log = logging.getLogger(__name__)


def make_redis(url: str) -> "Redis":
    """A client that gives up fast instead of trying again: nothing waits for Redis here."""
    return Redis.from_url(
        url,
        socket_connect_timeout=_REDIS_SECONDS,
        socket_timeout=_REDIS_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


def wake(redis: "Redis", tenant_id: UUID) -> bool:
    """Asks for a reconcile of the tenant; to be called after the commit it tells of.

    Never raises for Redis: failures are logged, and the sweeper finds the work. Tells whether a
    job is waiting now.
    """
    key = _key(tenant_id)
    try:
        if not redis.set(key, b"1", nx=True, ex=_COALESCE_SECONDS):
            return True
        try:
            queue = Queue(QUEUE, connection=redis, serializer=JSONSerializer)
            queue.enqueue_call(
                RECONCILE_TENANT,
                args=(str(tenant_id),),
                timeout=_JOB_TIMEOUT_SECONDS,
                result_ttl=0,
                failure_ttl=_FAILURE_TTL_SECONDS,
            )
        except RedisError:
            redis.delete(key)
            raise
    except RedisError as error:
        _log.warning(
            "redis is not reachable (%s): tenant %s waits for the sweeper",
            type(error).__name__,
            tenant_id,
        )
        return False
    return True


def begin(redis: "Redis", tenant_id: UUID) -> None:
    """First step of a job: from here on a new hint makes a new job. Never raises for Redis."""
    try:
        redis.delete(_key(tenant_id))
    except RedisError as error:
        _log.warning("redis is not reachable (%s)", type(error).__name__)


def _key(tenant_id: UUID) -> str:
    return f"groupseal:wake:{tenant_id}"
