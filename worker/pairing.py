"""Connects a tenant with its customer's encryption service: pins whom to believe, once.

The identity document proves itself; what people compare is the fingerprint of the signing key.
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from directory import pairing_statements as sql
from directory.tenancy import TenantScope
from directory.unit_of_work import UnitOfWork
from encryption_api import encryption_pb2 as pb
from groupseal.identifiers import identifier_to_text, same_fingerprint
from groupseal.pairing import ServiceIdentity, open_identity
from worker.client_certificates import Authority
from worker.errors import PairingError
from worker.service_client import ServiceConnection, ServiceTarget

_TRUST_MODES = {
    pb.TRUST_MODE_OIDC: "oidc",
    pb.TRUST_MODE_APPROVE: "approve",
    pb.TRUST_MODE_PIN: "pin",
}


@dataclass(frozen=True, slots=True)
class Connected:
    """What was pinned."""

    tenant_id: UUID
    organisation_id: str
    fingerprint: str
    service_address: str
    trust_mode: str | None


@dataclass(frozen=True, slots=True)
class Pairing:
    """The parts that connecting a tenant needs."""

    engine: Engine
    authority: Authority
    timeout: float

    def connect(
        self,
        tenant_id: UUID,
        address: str,
        document: str,
        confirm: Callable[[ServiceIdentity], bool],
        *,
        offline: bool = False,
    ) -> Connected:
        """Pins the identity if `confirm` finds the fingerprint to be the right one.

        Asks the service who it is, unless `offline`. Raises PairingError, a ProtocolError for a
        document that does not prove itself, ServiceError, or AuthorityError.
        """
        require_address(address)
        self._known(tenant_id)
        identity = open_identity(document)
        if not confirm(identity):
            raise PairingError(
                f"the fingerprint of this identity is {identity.fingerprint}, which is not the one"
                " that was confirmed; nothing was stored. Compare it with what"
                " `encryption-service fingerprint` prints at the customer's"
            )
        certificate = self.authority.certificate_for(tenant_id)
        trust_mode = None
        if not offline:
            target = ServiceTarget(address, identity, certificate)
            with ServiceConnection(target, self.timeout) as connection:
                trust_mode = _TRUST_MODES.get(connection.get_organisation().trust_mode)
        self._store(tenant_id, address, document, identity, trust_mode)
        organisation = identifier_to_text(identity.organisation)
        return Connected(tenant_id, organisation, identity.fingerprint, address, trust_mode)

    def _known(self, tenant_id: UUID) -> None:
        with UnitOfWork(self.engine) as work:
            if TenantScope(work.connection, tenant_id).one(sql.TENANT) is None:
                raise PairingError(
                    f"there is no tenant {tenant_id}; `groupseal tenant status` lists them"
                )

    def _store(
        self,
        tenant_id: UUID,
        address: str,
        document: str,
        identity: ServiceIdentity,
        trust_mode: str | None,
    ) -> None:
        try:
            with UnitOfWork(self.engine) as work:
                row = TenantScope(work.connection, tenant_id).one(
                    sql.CONNECT,
                    address=address,
                    document=document,
                    organisation=UUID(bytes=identity.organisation),
                    public_key=identity.signing_public_key,
                    trust_mode=trust_mode,
                )
                if row is None:
                    raise PairingError(
                        f"tenant {tenant_id} holds the ledger of another organisation, which is not"
                        " replaced; create a new tenant for this service"
                    )
                work.commit()
        except IntegrityError:
            raise PairingError(
                "this organisation is connected with another tenant; one service serves one tenant"
            ) from None


def matching(fingerprint: str) -> Callable[[ServiceIdentity], bool]:
    """Confirms exactly the identity with this fingerprint."""
    return lambda identity: same_fingerprint(fingerprint, identity.fingerprint)


def require_address(address: str) -> None:
    """Raises PairingError unless it is HOST:PORT."""
    host, separator, port = address.rpartition(":")
    if not (separator and host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise PairingError(f"the address {address!r} is not HOST:PORT, such as vault.example:8443")
