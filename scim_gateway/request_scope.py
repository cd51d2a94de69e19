"""One SCIM request: whose it is, its unit of work, and what happens after its commit."""

from collections.abc import Callable
from typing import TypeVar

from flask import Response, g, request
from sqlalchemy.exc import OperationalError

from directory.credentials import note_use, scim_caller
from directory.errors import ContendedError
from directory.tenancy import TenantScope
from directory.unit_of_work import UnitOfWork
from scim_gateway import errors, throttling
from scim_gateway.bearer_auth import bearer_token
from scim_gateway.content_negotiation import check_accept
from scim_gateway.wiring import wiring

_Result = TypeVar("_Result")
_ATTEMPTS = 5
_DEADLOCK = "40P01"


class ScimRequest:
    """The present request of an authenticated client."""

    def __init__(self, uow: UnitOfWork, scope: TenantScope, base_url: str) -> None:
        self._uow = uow
        self.scope = scope
        self.base_url = base_url

    def change(self, use_case: Callable[[TenantScope], tuple[_Result, bool]]) -> _Result:
        """Runs a use case and commits; wakes the workers if it says that a group is dirty.

        Runs it again where others were faster. Nothing of a failed attempt remains.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                result, dirty = use_case(self.scope)
                self._uow.commit()
            except ContendedError:
                self._uow.rollback()
                if attempt == _ATTEMPTS:
                    raise
            except OperationalError as error:
                self._uow.rollback()
                if getattr(error.orig, "sqlstate", None) != _DEADLOCK or attempt == _ATTEMPTS:
                    raise
            else:
                if dirty:
                    wiring().wake(self.scope.tenant_id)
                return result
        raise AssertionError("the last attempt returns or raises")

    def snapshot(self) -> None:
        """What is read from here on is of one moment. After every change, if there is one."""
        self._uow.snapshot()

    def outlive_request(self, response: Response) -> Callable[[], None]:
        """Keeps the unit of work open until the server has sent the response, or given it up.

        Flask ends a request before the body is made. Only an error in between, for which another
        response is sent, still ends this. Returns what ends it earlier.
        """
        uow, g.outlived_by = self._uow, response

        def close() -> None:
            if uow.is_open:
                uow.__exit__(None, None, None)

        response.call_on_close(close)
        return close


def begin() -> None:
    """Before each request of the SCIM blueprint: authenticates and opens the unit of work."""
    token = bearer_token(request.headers.get("Authorization"))
    throttling.limit(token)
    uow = UnitOfWork(wiring().engine)
    g.unit_of_work = uow.__enter__()
    caller = uow.first(lambda connection: scim_caller(connection, token))
    if caller is None:
        raise errors.UnauthorizedError("the token is unknown, revoked or expired")
    check_accept()
    if caller.use_is_old:
        note_use(uow.connection, caller)
        uow.commit()
    base_url = (wiring().settings.gateway_public_url or request.host_url.rstrip("/")) + "/scim/v2"
    g.scim_request = ScimRequest(uow, TenantScope(uow.connection, caller.tenant_id), base_url)


def end(error: BaseException | None = None) -> None:
    """After each request: rolls back what was not committed."""
    uow: UnitOfWork | None = g.pop("unit_of_work", None)
    if uow is not None and (error is not None or "outlived_by" not in g):
        uow.__exit__(None, None, None)


def scim_request() -> ScimRequest:
    """The present request."""
    value = g.scim_request
    if not isinstance(value, ScimRequest):
        raise TypeError("this is no request of the SCIM API")
    return value
