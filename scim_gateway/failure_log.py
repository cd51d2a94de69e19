"""How unexpected failures are logged: never their text, which may hold what was sent."""

import logging

from flask import request
from sqlalchemy.exc import DBAPIError

_log = logging.getLogger(__name__)


def log_failure(error: Exception) -> None:
    """Logs kind and place of a failure, never its text: it may hold what was sent."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else "?"
    state = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    _log.error(
        "%s %s failed: %s (sqlstate %s) at %s",
        request.method,
        request.path,
        type(error).__name__,
        state,
        where,
    )
