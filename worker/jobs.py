"""What RQ may call: this one function, by the name that `directory.wake_up` enqueues."""

from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from directory.ledger_copy import LedgerMovedOnError
from worker.reconcile_tenant import reconcile_tenant as run
from worker.wiring import Wiring

_log = structlog.get_logger(__name__)


class _Current:
    """RQ calls a function by name, so the process's wiring has to be found here."""

    wiring: Wiring | None = None


def install(wiring: Wiring | None) -> None:
    """Gives this process's jobs what they work with."""
    _Current.wiring = wiring


def reconcile_tenant(tenant_id: str) -> None:
    """Works for one tenant. A hint: losing, repeating or delaying it changes nothing but time.

    A database that is away ends the job quietly; the sweeper asks again.
    """
    wiring = _Current.wiring
    if wiring is None:
        raise RuntimeError("jobs run inside `groupseal worker`, which installs its wiring")
    structlog.contextvars.bind_contextvars(tenant_id=tenant_id)
    try:
        run(wiring, UUID(tenant_id))
    except (SQLAlchemyError, LedgerMovedOnError) as error:
        # Never the error's text: it may quote rows.
        _log.warning("job_given_up", error=type(error).__name__)
    finally:
        structlog.contextvars.clear_contextvars()
