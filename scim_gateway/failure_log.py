"""How unexpected failures are logged: never their text, nor anything else that was sent."""

import logging

from flask import has_request_context, request
from sqlalchemy.exc import DBAPIError

_log = logging.getLogger(__name__)


def log_failure(error: BaseException) -> None:
    """Logs kind and place of a failure, and the route; never a text, an address or a value.

    Texts and addresses may hold tokens, names and line breaks; the route is ours.
    """
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else "?"
    state = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    _log.error(
        "%s failed: %s (sqlstate %s) at %s",
        _route(),
        type(error).__name__,
        state,
        where,
    )


def _route() -> str:
    if not has_request_context() or request.url_rule is None:
        return "a request without a route"
    return f"{request.method} {request.url_rule.rule}"
