"""Kept channels, one per tenant: a new channel costs six times what a call on a kept one does."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

from directory.due_work import ConnectedTenant
from groupseal.pairing import open_identity
from worker.client_certificates import Authority
from worker.errors import ServiceError
from worker.service_client import ServiceConnection, ServiceTarget

_MOST_CHANNELS = 200
# Opened anew now and then, so that a renewed client certificate comes into use.
_OLDEST_SECONDS = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class _Kept:
    connection: ServiceConnection
    address: str
    identity_document: str
    opened_at: float


class ServiceConnections:
    """The channels of one worker process; used by one thread."""

    def __init__(self, authority: Authority, timeout: float) -> None:
        self._authority = authority
        self._timeout = timeout
        self._kept: OrderedDict[UUID, _Kept] = OrderedDict()

    def connection(self, tenant: ConnectedTenant) -> ServiceConnection:
        """The tenant's channel; a new one has proven whom it leads to.

        Raises ServiceError, AuthorityError or a ProtocolError of the identity document.
        """
        kept = self._kept.get(tenant.id)
        if kept is not None and self._is_fresh(kept, tenant):
            self._kept.move_to_end(tenant.id)
            return kept.connection
        self.drop(tenant.id)
        target = ServiceTarget(
            tenant.service_address,
            open_identity(tenant.identity_document),
            self._authority.certificate_for(tenant.id),
        )
        connection = ServiceConnection(target, self._timeout)
        try:
            connection.get_organisation()
        except ServiceError:
            connection.close()
            raise
        self._kept[tenant.id] = _Kept(
            connection, tenant.service_address, tenant.identity_document, time.monotonic()
        )
        if len(self._kept) > _MOST_CHANNELS:
            self.drop(next(iter(self._kept)))
        return connection

    def drop(self, tenant_id: UUID) -> None:
        """Closes a tenant's channel: after a failure, the next try starts from nothing."""
        kept = self._kept.pop(tenant_id, None)
        if kept is not None:
            kept.connection.close()

    def close(self) -> None:
        """Closes every channel."""
        for tenant_id in list(self._kept):
            self.drop(tenant_id)

    @staticmethod
    def _is_fresh(kept: _Kept, tenant: ConnectedTenant) -> bool:
        return (
            kept.address == tenant.service_address
            and kept.identity_document == tenant.identity_document
            and time.monotonic() - kept.opened_at < _OLDEST_SECONDS
        )
