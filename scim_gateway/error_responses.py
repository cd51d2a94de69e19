"""Errors in the form of RFC 7644 §3.12, on every path, unknown ones and failures included."""

import json

from flask import Flask, Response, request
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import HTTPException

from directory import errors as directory_errors
from groupseal.reasons import Reason
from scim_gateway import errors
from scim_gateway.failure_log import log_failure
from scim_gateway.members.errors import error_response as member_error_response

SCIM_MEDIA_TYPE = "application/scim+json"
_ERROR_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:Error"
_RETRY_SECONDS = 5
# What clients see of the directory's refusals.
_TRANSLATED: dict[type[directory_errors.DirectoryError], type[errors.ScimError]] = {
    directory_errors.NotFoundError: errors.NotFoundError,
    directory_errors.TakenError: errors.ConflictError,
    directory_errors.VersionMismatchError: errors.PreconditionFailedError,
    directory_errors.TooManyUnresolvedError: errors.InvalidValueError,
    directory_errors.ContendedError: errors.ContendedError,
}


def error_response(status: int, detail: str, scim_type: str | None = None) -> Response:
    """An error as SCIM clients read it; `status` is a string there."""
    body = {"schemas": [_ERROR_SCHEMA], "status": str(status), "detail": detail}
    if scim_type is not None:
        body["scimType"] = scim_type
    response = Response(json.dumps(body), status, content_type=SCIM_MEDIA_TYPE)
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="groupseal"'
    if status == 503:
        response.headers["Retry-After"] = str(_RETRY_SECONDS)  # whole seconds: Okta reads no date
    return response


def register(app: Flask) -> None:
    """Answers every error of the application that no blueprint answers by itself."""
    app.register_error_handler(errors.ScimError, _scim_error)
    app.register_error_handler(directory_errors.DirectoryError, _directory_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(OperationalError, unavailable)
    app.register_error_handler(PoolTimeoutError, unavailable)
    app.register_error_handler(Exception, _unexpected)


def unavailable(error: Exception) -> Response:
    """The database cannot be reached just now."""
    log_failure(error)
    return error_response(503, "the database is not reachable just now; send the request again")


def _scim_error(error: errors.ScimError) -> Response:
    return error_response(error.status, str(error), error.scim_type)


def _directory_error(error: directory_errors.DirectoryError) -> Response:
    return _scim_error(_TRANSLATED.get(type(error), errors.InvalidValueError)(str(error)))


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    detail = {
        404: "there is nothing at this address",
        405: "this address does not take that method",
        413: "the body is larger than GROUPSEAL_GATEWAY_MAX_BODY allows",
    }.get(status, (error.description or error.name))
    if _is_members():
        reason = {404: "not_found", 405: "method_not_allowed"}.get(status, Reason.MALFORMED)
        return member_error_response(status, reason, detail)
    return error_response(status, detail)


def _unexpected(error: Exception) -> Response:
    log_failure(error)
    detail = "an unexpected fault; the gateway's log has the details"
    if _is_members():
        return member_error_response(500, Reason.INTERNAL, detail)
    return error_response(500, detail)


def _is_members() -> bool:
    """Whether the request is one of the member API, whose errors have another form."""
    return request.path.startswith("/member/")
