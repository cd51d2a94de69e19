"""A member's device in the worker's tests."""

import os
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from directory.devices import Endorsement, Vouching, request_removal, submit_key
from directory.tenancy import TenantScope
from directory.unit_of_work import UnitOfWork
from groupseal.bindings import BindingRequest
from groupseal.key_removal import KeyRemoval
from groupseal.suites import Suite
from tests.support.org_maker import xwing_public_key
from tests.worker.parts import Tenant

STATE = """
    SELECT state, reason, sealed_evidence FROM member_keys WHERE tenant_id = %s AND key_id = %s
"""


class Device:
    """A member's device, which submits itself through the directory as the gateway does."""

    def __init__(self, tenant: Tenant, organisation: bytes, user: UUID) -> None:
        self.tenant, self.user = tenant, user
        self.organisation = organisation
        self.signing_key = Ed25519PrivateKey.generate()
        self.public_key = xwing_public_key(os.urandom(32))

    def request(self, *, replaces: bool = False) -> BindingRequest:
        return BindingRequest(
            self.organisation,
            self.user.bytes,
            Suite.XWING,
            self.public_key,
            self.signing_key.public_key().public_bytes_raw(),
            replaces,
        )

    @property
    def key_id(self) -> bytes:
        return self.request().key_id

    def submit(
        self,
        evidence: bytes | None = None,
        *,
        replaces: bool = False,
        endorser: "Device | None" = None,
    ) -> None:
        request = self.request(replaces=replaces)
        proof = self.signing_key.sign(request.message())
        endorsement = None
        if endorser is not None:
            signature = endorser.signing_key.sign(request.endorsement_message())
            endorsement = Endorsement(endorser.key_id, signature)
        with UnitOfWork(self.tenant.bench.engine) as work:
            scope = TenantScope(work.connection, self.tenant.id)
            submit_key(scope, request, proof, Vouching(endorsement, evidence))
            work.commit()

    def remove(self, other: "Device") -> None:
        removal = KeyRemoval(self.organisation, self.user.bytes, other.key_id)
        signed = Endorsement(self.key_id, self.signing_key.sign(removal.message()))
        with UnitOfWork(self.tenant.bench.engine) as work:
            scope = TenantScope(work.connection, self.tenant.id)
            request_removal(scope, self.user, other.key_id, signed)
            work.commit()

    def row(self) -> tuple[str, str | None, bytes | None]:
        state, reason, evidence = self.tenant.one(STATE, self.key_id)
        return state, reason, evidence
