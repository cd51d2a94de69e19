"""What is done once: the organisation's keyset and the first entry of its ledger."""

import sqlite3
from uuid import uuid4

from encryption_service.keyset import Keyset, make_keyset, seal_keyset, unseal_keyset
from encryption_service.ledger_store import Clock, LedgerAppender, insert_service, read_service
from encryption_service.root_key import RootKeyProvider
from encryption_service.trust_record import record_trust
from groupseal.entries import OrganisationCreated
from groupseal.parts import PartKind, part_digest
from groupseal.trust import TrustSettings


def open_keyset(
    connection: sqlite3.Connection,
    provider: RootKeyProvider,
    trust: TrustSettings,
    clock: Clock,
) -> Keyset:
    """The stored keyset, made at the first start. Raises RootKeyError."""
    service = read_service(connection)
    if service is not None:
        return unseal_keyset(service.sealed_keyset, service.organisation, provider)
    keyset = make_keyset(uuid4().bytes, clock())
    sealed = seal_keyset(keyset, provider)
    connection.execute("BEGIN IMMEDIATE")
    insert_service(connection, keyset.organisation, sealed)
    ledger = LedgerAppender(connection, clock)
    created = OrganisationCreated(
        signing_public_key=keyset.signing_public_key,
        evidence_public_key=keyset.evidence_public_key,
        trust_mode=trust.mode,
        trust_settings_digest=trust.digest(),
        sealed_keyset_digest=part_digest(PartKind.SEALED_KEYSET, sealed),
    )
    ledger.append(created, {PartKind.SEALED_KEYSET: sealed})
    record_trust(connection, ledger, trust)
    ledger.save()
    connection.execute("COMMIT")
    return keyset
