"""Errors of the member API: a stable reason and a sentence."""

import json

from flask import Blueprint, Response
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from directory.devices import KeyRefusedError
from groupseal.errors import ProtocolError
from groupseal.reasons import Reason
from scim_gateway.errors import ScimError, TooManyRequestsError, UnauthorizedError
from scim_gateway.failure_log import log_failure


class MemberError(Exception):
    """Refuses a member's request."""

    def __init__(self, status: int, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason


def refused(status: int, reason: Reason) -> MemberError:
    """An error whose sentence is the reason's remedy."""
    return MemberError(status, reason, reason.remedy)


def register(blueprint: Blueprint) -> None:
    """Answers the errors of the member API in its own form."""
    blueprint.register_error_handler(MemberError, lambda e: error_response(e.status, e.reason, e))
    blueprint.register_error_handler(
        UnauthorizedError, lambda e: error_response(401, "unauthorized", e)
    )
    blueprint.register_error_handler(
        TooManyRequestsError,
        lambda e: error_response(e.status, "too_many_requests", e, e.retry_after),
    )
    blueprint.register_error_handler(
        ScimError, lambda e: error_response(e.status, Reason.MALFORMED, e)
    )
    blueprint.register_error_handler(ProtocolError, lambda e: error_response(400, e.reason, e))
    blueprint.register_error_handler(KeyRefusedError, lambda e: error_response(409, e.reason, e))
    blueprint.register_error_handler(OperationalError, _unavailable)
    blueprint.register_error_handler(PoolTimeoutError, _unavailable)


def error_response(
    status: int, reason: str, detail: object, retry_after: int | None = None
) -> Response:
    """`{"reason": …, "detail": …}`."""
    body = json.dumps({"reason": str(reason), "detail": str(detail)})
    response = Response(body, status, content_type="application/json")
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="groupseal"'
    if status == 503:
        response.headers["Retry-After"] = "5"
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


def _unavailable(error: Exception) -> Response:
    log_failure(error)
    return error_response(503, "unavailable", "the database is not reachable just now; try again")
