"""How the service is, for an operator: its store, and what the running service says of itself.

The store is read without the root key, whether or not the service runs.
"""

from pathlib import Path
from typing import Any

from encryption_service.admin_socket import admin_socket_path, ask
from encryption_service.errors import ServiceError, StoreError
from encryption_service.ledger_store import ledger_size, read_service
from encryption_service.store import Store, snapshot
from groupseal.entries import Entry, OrganisationCreated
from groupseal.identifiers import fingerprint, identifier_to_text
from groupseal.reasons import Reason


def read_status(data_dir: Path) -> dict[str, Any]:
    """Facts by name; those of the running service only while there is one. Raises StoreError."""
    return {**_stored(data_dir), **_live(data_dir)}


def _live(data_dir: Path) -> dict[str, Any]:
    try:
        return {"running": True, **ask(admin_socket_path(data_dir), {"command": "status"})}
    except ServiceError:
        return {"running": False}


def _stored(data_dir: Path) -> dict[str, Any]:
    with Store(data_dir).reader() as connection, snapshot(connection):
        service = read_service(connection)
        row = connection.execute("SELECT entry FROM entries WHERE position = 0").fetchone()
        if service is None or row is None:
            raise StoreError(
                "the store holds no organisation yet: start `encryption-service serve`"
            )
        created = Entry.from_bytes(row[0]).body
        if not isinstance(created, OrganisationCreated):
            raise StoreError("the ledger does not begin with an organisation: run fsck")
        groups, closed, working = connection.execute(
            "SELECT count(*), coalesce(sum(epoch > 0 AND NOT is_open), 0), "
            "coalesce(sum(needs_work), 0) FROM groups"
        ).fetchone()
        keys = connection.execute("SELECT count(*) FROM member_keys").fetchone()[0]
        waiting = connection.execute("SELECT count(*) FROM offered_keys").fetchone()[0]
        holds = connection.execute(
            "SELECT reason, count(*) FROM holds WHERE reason IS NOT NULL GROUP BY reason"
        ).fetchall()
        pending = connection.execute("SELECT count(*) FROM pending_grants").fetchone()[0]
        reason = Reason(service.halted_reason) if service.halted_reason else None
        return {
            "organisation_id": identifier_to_text(service.organisation),
            "fingerprint": fingerprint(created.signing_public_key),
            "ledger_size": ledger_size(connection),
            "acknowledged_size": service.acknowledged_size,
            "bound_keys": keys,
            "waiting_keys": waiting,
            "groups": groups,
            "groups_between_epochs": closed,
            "groups_with_work": working,
            "grants_due": pending,
            "held": dict(holds),
            "frozen_by_command": service.frozen,
            "halted_reason": reason,
            "halted_detail": service.halted_detail,
            "remedy": reason.remedy if reason else None,
        }
