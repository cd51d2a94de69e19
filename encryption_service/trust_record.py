"""Says in the ledger how the organisation decides, whenever that is another way than before."""

import sqlite3

from encryption_service.ledger_store import LedgerAppender
from groupseal.entries import PolicyChanged, TrustChanged
from groupseal.trust import VENDOR_TRUSTED, TrustSettings


def record_trust(
    connection: sqlite3.Connection, ledger: LedgerAppender, settings: TrustSettings
) -> bool:
    """Appends the settings if the ledger's last word is another; inside a transaction."""
    row = connection.execute("SELECT trust_digest FROM service").fetchone()
    before = row[0] or VENDOR_TRUSTED.digest()
    if before == settings.digest():
        return False
    ledger.append(TrustChanged(settings))
    connection.execute("UPDATE service SET trust_digest = ?", (settings.digest(),))
    return True


def record_policy(
    connection: sqlite3.Connection, ledger: LedgerAppender, digest: bytes, *, is_set: bool = True
) -> bool:
    """The same of the policy's digest; without a policy file only where there was one before."""
    row = connection.execute("SELECT policy_digest FROM service").fetchone()
    if row[0] == digest or (row[0] is None and not is_set):
        return False
    ledger.append(PolicyChanged(digest))
    connection.execute("UPDATE service SET policy_digest = ?", (digest,))
    return True
