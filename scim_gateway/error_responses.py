"""Errors in the form of RFC 7644 §3.12, on every path, unknown ones and failures included."""

import json

from flask import Flask, Response, current_app, request
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from directory import errors as directory_errors
from groupseal.reasons import Reason
from scim_gateway import errors
from scim_gateway.content_negotiation import SCIM_MEDIA_TYPE
from scim_gateway.failure_log import log_failure
from scim_gateway.members.errors import error_response as member_error_response

ERROR_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:Error"
_RETRY_SECONDS = 5
# PostgreSQL's class of errors for what is too long or too complex for it.
_PROGRAM_LIMIT = "54"
_CANCELED = "57014"
# What clients see of the directory's refusals.
_TRANSLATED: dict[type[directory_errors.DirectoryError], type[errors.ScimError]] = {
    directory_errors.NotFoundError: errors.NotFoundError,
    directory_errors.TakenError: errors.ConflictError,
    directory_errors.VersionMismatchError: errors.PreconditionFailedError,
    directory_errors.TooManyUnresolvedError: errors.InvalidValueError,
    directory_errors.ContendedError: errors.ContendedError,
}
# Reasons of the member API, by status.
_MEMBER_REASONS = {
    404: "not_found",
    405: "method_not_allowed",
    429: "too_many_requests",
    503: "unavailable",
}


def error_text(status: int, detail: str, scim_type: str | None = None) -> str:
    """The JSON of an error as SCIM clients read it; `status` is a string there."""
    body = {"schemas": [ERROR_SCHEMA], "status": str(status), "detail": detail}
    if scim_type is not None:
        body["scimType"] = scim_type
    return json.dumps(body)


def error_response(
    status: int, detail: str, scim_type: str | None = None, retry_after: int | None = None
) -> Response:
    """An error's answer, with the headers that belong to its status."""
    text = error_text(status, detail, scim_type)
    response = Response(text, status, content_type=SCIM_MEDIA_TYPE)
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="groupseal"'
    if status == 503 and retry_after is None:
        retry_after = _RETRY_SECONDS
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)  # whole seconds: Okta reads no date
    return response


def register(app: Flask) -> None:
    """Answers every error of the application that no blueprint answers by itself."""
    app.register_error_handler(errors.ScimError, present)
    app.register_error_handler(directory_errors.DirectoryError, _directory_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(DataError, _unusable_value)
    app.register_error_handler(OperationalError, unavailable)
    app.register_error_handler(PoolTimeoutError, unavailable)
    app.register_error_handler(Exception, _unexpected)


def present(error: errors.ScimError) -> Response:
    """A refusal, in the form of the API that was asked."""
    if _is_members():
        reason = _MEMBER_REASONS.get(error.status, Reason.MALFORMED)
        return member_error_response(error.status, reason, error, error.retry_after)
    return error_response(error.status, str(error), error.scim_type, error.retry_after)


def unavailable(error: Exception) -> Response:
    """The database cannot be reached just now; or it was, and what was sent is too much for it."""
    log_failure(error)
    state = getattr(error.orig, "sqlstate", None) if isinstance(error, OperationalError) else None
    if state is not None and state.startswith(_PROGRAM_LIMIT):
        return present(errors.InvalidValueError("a value is too long or the request too complex"))
    if state == _CANCELED:
        return error_response(503, "the request took too long and was given up; nothing changed")
    return error_response(503, "the database is not reachable just now; send the request again")


def _directory_error(error: directory_errors.DirectoryError) -> Response:
    return present(_TRANSLATED.get(type(error), errors.InvalidValueError)(str(error)))


def _unusable_value(error: DataError) -> Response:
    """What the mapping let through and the database cannot hold: a client's fault all the same."""
    log_failure(error)
    return present(errors.InvalidValueError("a value is one that cannot be stored or compared"))


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    detail = {
        404: "there is nothing at this address",
        405: "this address does not take that method; the Allow header says which it does",
        413: f"the body is larger than {current_app.config['MAX_CONTENT_LENGTH']} bytes "
        "(GROUPSEAL_GATEWAY_MAX_BODY)",
    }.get(status, error.name)
    if _is_members():
        reason = _MEMBER_REASONS.get(status, Reason.MALFORMED)
        response = member_error_response(status, reason, detail)
    else:
        response = error_response(status, detail)
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response


def _unexpected(error: Exception) -> Response:
    log_failure(error)
    detail = "an unexpected fault; the gateway's log has the details"
    if _is_members():
        return member_error_response(500, Reason.INTERNAL, detail)
    return error_response(500, detail)


def _is_members() -> bool:
    """Whether the request is one of the member API, whose errors have another form."""
    return request.path.startswith("/member/")
