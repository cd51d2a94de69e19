"""The statements by which a tenant is connected with its encryption service."""

from sqlalchemy import text

TENANT = text("SELECT id FROM tenants WHERE id = :tenant_id")

# A tenant that holds entries of one organisation's ledger never changes over to another's. The
# same one may move, or renew its authority; a halt of before is over, since an operator acted.
# Whether the service is up again, the next call will say. Once the ledger was read, it alone says
# how the service decides.
CONNECT = text("""
    UPDATE tenants SET
        state = 'connected', service_address = :address, identity_document = :document,
        organisation_id = :organisation, signing_public_key = :public_key,
        trust_mode = CASE WHEN ledger_size = 0 THEN coalesce(:trust_mode, trust_mode)
            ELSE coalesce(trust_mode, :trust_mode) END,
        halted_reason = NULL,
        service_failures = 0, ledger_read_at = NULL, next_attempt_at = now()
    WHERE id = :tenant_id AND (ledger_size = 0
        OR (organisation_id = :organisation AND signing_public_key = :public_key))
    RETURNING id
""")
