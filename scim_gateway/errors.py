"""Errors as SCIM clients read them: one per scimType of RFC 7644 §3.12 that is used here."""

from typing import ClassVar


class ScimError(Exception):
    """Refuses a request; nothing was changed. The text is the `detail` that the client sees."""

    status: ClassVar[int] = 400
    scim_type: ClassVar[str | None] = None
    # Whole seconds after which the request may be sent again; Okta reads no date.
    retry_after: int | None = None


class InvalidSyntaxError(ScimError):
    """The body is not what this kind of request needs."""

    scim_type = "invalidSyntax"


class InvalidValueError(ScimError):
    """An attribute is missing or its value is not usable."""

    scim_type = "invalidValue"


class InvalidPathError(ScimError):
    """A PATCH path that cannot be followed."""

    scim_type = "invalidPath"


class NoTargetError(ScimError):
    """A PATCH path that selects nothing to change."""

    scim_type = "noTarget"


class InvalidFilterError(ScimError):
    """A filter that is not understood: it is refused, never taken for 'everything'."""

    scim_type = "invalidFilter"


class InvalidCursorError(ScimError):
    """A cursor that was not given out for this search (RFC 9865 §2.1)."""

    scim_type = "invalidCursor"


class ExpiredCursorError(ScimError):
    """A cursor that was given out too long ago (RFC 9865 §2.3)."""

    scim_type = "expiredCursor"


class InvalidCountError(ScimError):
    """A size of pages that a cursor does not allow (RFC 9865 §2.4)."""

    scim_type = "invalidCount"


class MutabilityError(ScimError):
    """An attribute that clients may not change."""

    scim_type = "mutability"


class UnauthorizedError(ScimError):
    """No usable token."""

    status = 401


class ForbiddenError(ScimError):
    """Nobody may do this here (RFC 7644 §4: discovery is not filtered)."""

    status = 403


class NotFoundError(ScimError):
    """No such resource or endpoint."""

    status = 404


class NotAcceptableError(ScimError):
    """The client takes neither application/scim+json nor application/json."""

    status = 406


class ConflictError(ScimError):
    """A value that must be unique is in use."""

    status = 409
    scim_type = "uniqueness"


class PreconditionFailedError(ScimError):
    """If-Match names another version (RFC 7644 §3.14)."""

    status = 412


class UnsupportedMediaTypeError(ScimError):
    """The body is neither application/scim+json nor application/json."""

    status = 415


class TooManyRequestsError(ScimError):
    """More requests than are allowed in this time (RFC 6585 §4)."""

    status = 429

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class ContendedError(ScimError):
    """Others kept changing the same rows; may be sent again."""

    status = 503


class UnsupportedError(ScimError):
    """Part of SCIM that is not offered here, and announced so (RFC 7644 §3.12: 501)."""

    status = 501
