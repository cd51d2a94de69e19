"""What the ledger says of members' keys and of trust, written beside it: part of `apply_chunk`."""

from directory import ledger_statements as sql
from directory.ledger_changes import ChunkChanges, identifier
from directory.tenancy import TenantScope
from groupseal.entries import KeyBound, KeyRefused, KeyUnbound
from groupseal.trust import TrustSettings


def set_trust(scope: TenantScope, trust: TrustSettings) -> None:
    """How the service decides from now on."""
    scope.execute(
        sql.SET_TRUST,
        mode=trust.mode.name.lower(),
        issuer=trust.issuer or None,
        client_id=trust.client_id or None,
        subject_claim=trust.subject_claim or None,
        membership_check=trust.membership_check.name.lower(),
        membership_source=trust.membership_source or None,
    )


def project_keys(scope: TenantScope, changes: ChunkChanges) -> None:
    """Binds, refuses and unbinds; an unbound key's envelopes go at once."""
    bound = [(at, key) for at, key in changes.keys.values() if isinstance(key, KeyBound)]
    if bound:
        members = [identifier(key.member) for _, key in bound]
        scope.execute(sql.BURY_UNKNOWN_USERS, ids=sorted(set(members)))
        scope.execute(
            sql.BIND_KEYS,
            key_ids=[key.key_id for _, key in bound],
            members=members,
            suites=[key.suite for _, key in bound],
            hpke_public_keys=[key.hpke_public_key for _, key in bound],
            signing_public_keys=[key.signing_public_key for _, key in bound],
            proofs=[key.possession_proof for _, key in bound],
            positions=[at for at, _ in bound],
        )
    for position, body in changes.keys.values():
        match body:
            case KeyRefused():
                scope.execute(
                    sql.REFUSE_KEY,
                    key_id=body.key_id,
                    member=identifier(body.member),
                    reason=body.reason,
                    position=position,
                )
            case KeyUnbound():
                _unbind(scope, body, position)
            case KeyBound():
                pass
    if changes.unbinds_keys:
        scope.execute(sql.LIST_HOLDS_ANEW)


def _unbind(scope: TenantScope, body: KeyUnbound, position: int) -> None:
    key = {"key_id": body.key_id, "member": identifier(body.member)}
    scope.execute(sql.UNBIND_KEY, **key, reason=body.reason, position=position)
    scope.execute(sql.PREFER_ANOTHER_KEY, **key)
    scope.execute(sql.DROP_GRANTS_OF_KEY, **key)
    scope.execute(sql.DROP_MISSING_OF_KEY, **key)
    scope.execute(sql.DROP_REASONS_WITHOUT_KEY, member=key["member"])
