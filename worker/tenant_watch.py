"""Watches one tenant's service: a call that stays open, on a channel that is kept.

What comes is a hint, as everything that wakes a worker is: how far ledger and holds are is looked
up and verified by reading them.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import grpc
import structlog

from directory.watching import WatchableTenant
from encryption_api import encryption_pb2 as pb
from encryption_api import encryption_pb2_grpc as pb_grpc
from groupseal.errors import ProtocolError
from worker.back_off import delay_after
from worker.errors import (
    AuthorityError,
    ServiceError,
    ServiceTimeoutError,
    ServiceUnavailableError,
    UnpinnedServiceError,
)
from worker.service_client import ServiceTarget, channel_credentials, channel_options
from worker.service_errors import translated_async

# A call that was silent for so long is made anew; a service repeats itself more often.
_SILENCE_SECONDS = 60.0
# As in worker.service_connections: a renewed client certificate comes into use.
_OLDEST_SECONDS = 6 * 3600.0
# An older service knows no such call: until it is upgraded, the ledger is read now and then.
_NOT_OFFERED = timedelta(minutes=10)

_log = structlog.get_logger(__name__)


class NotOfferedError(ServiceError):
    """The service is of a version that cannot be watched."""


@dataclass(frozen=True, slots=True)
class WatchParts:
    """What the watches of one process share."""

    # Where to call and as whom. Raises AuthorityError or a ProtocolError.
    target: Callable[[WatchableTenant], Awaitable[ServiceTarget]]
    # (tenant, entries in its ledger, version of its holds); whether it was taken note of.
    report: Callable[[WatchableTenant, int, int], Awaitable[bool]]
    # How many channels may be on the way of being opened.
    opening: asyncio.Semaphore
    # Seconds for an answer, and how long news is left for a worker that is at it already.
    timeout: float
    settle: float


class TenantWatch:
    """One tenant's watch; runs until it is cancelled."""

    def __init__(self, tenant: WatchableTenant, parts: WatchParts) -> None:
        self._tenant = tenant
        self._parts = parts
        self._newest = (0, 0)
        self._reported = (0, 0)
        self._has_news = asyncio.Event()
        # Something came since the last failure.
        self._heard = False

    async def run(self) -> None:
        """Watches, and begins anew after every failure, later and later."""
        reporter = asyncio.create_task(self._report())
        failures = 0
        try:
            while True:
                try:
                    await self._watch()
                except NotOfferedError:
                    _log.info("watch_not_offered", tenant_id=str(self._tenant.id))
                    await asyncio.sleep(_NOT_OFFERED.total_seconds())
                except (ServiceError, AuthorityError, ProtocolError) as error:
                    failures = 1 if self._heard else failures + 1
                    self._heard = False
                    self._log_failure(error, failures)
                    await asyncio.sleep(delay_after(failures).total_seconds())
        finally:
            reporter.cancel()

    async def _watch(self) -> None:
        """On one channel, until it is old or fails."""
        until = time.monotonic() + _OLDEST_SECONDS
        async with self._parts.opening:
            target = await self._parts.target(self._tenant)
            channel = grpc.aio.secure_channel(
                target.address, channel_credentials(target), channel_options(target.identity)
            )
        try:
            stub = pb_grpc.EncryptionServiceStub(channel)
            async with self._parts.opening:
                await self._verify(stub, target)
            while time.monotonic() < until:
                await self._call(stub)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                raise NotOfferedError(
                    translated_async(error).reason, "the service cannot be watched; upgrade it"
                ) from error
            raise translated_async(error) from error
        finally:
            await channel.close()

    async def _verify(
        self, stub: "pb_grpc.EncryptionServiceAsyncStub", target: ServiceTarget
    ) -> None:
        """Whoever answers is whom the tenant was connected with, as on a worker's channel."""
        answer = await stub.GetOrganisation(
            pb.GetOrganisationRequest(), timeout=self._parts.timeout
        )
        pinned = (target.identity.organisation, target.identity.signing_public_key)
        if (answer.organisation_id, answer.signing_public_key) != pinned:
            raise UnpinnedServiceError("another organisation answers at this address")

    async def _call(self, stub: "pb_grpc.EncryptionServiceAsyncStub") -> None:
        """One call, until it is silent for too long."""
        call = stub.WatchLedger(pb.WatchLedgerRequest())
        patience, is_first = self._parts.timeout, True
        try:
            while True:
                message = await asyncio.wait_for(call.read(), patience)
                if not isinstance(message, pb.WatchLedgerResponse):
                    raise ServiceUnavailableError("the service ended the call")
                self._take(message)
                patience, is_first = _SILENCE_SECONDS, False
        except TimeoutError:
            if is_first:
                raise ServiceTimeoutError("the service did not say how far it is") from None
        finally:
            call.cancel()

    def _take(self, message: pb.WatchLedgerResponse) -> None:
        self._heard = True
        self._newest = (message.size, message.holds_version)
        if self._newest != self._reported:
            self._has_news.set()

    async def _report(self) -> None:
        """Reports the newest of what came, and all that came meanwhile as one."""
        while True:
            await self._has_news.wait()
            await asyncio.sleep(self._parts.settle)
            self._has_news.clear()
            news = self._newest
            if await self._parts.report(self._tenant, *news):
                self._reported = news

    def _log_failure(self, error: Exception, failures: int) -> None:
        if failures == 1:
            reason = getattr(error, "reason", None)
            _log.warning(
                "watch_failed",
                tenant_id=str(self._tenant.id),
                error=type(error).__name__,
                reason=None if reason is None else str(reason),
            )
