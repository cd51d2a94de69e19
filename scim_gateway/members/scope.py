"""One request of a member: who it is, the unit of work, and the answer's form."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Response, g, request

from directory.credentials import MemberCaller, member_caller
from directory.member_view import Organisation, organisation
from directory.memberships import canonical_uuid
from directory.tenancy import TenantScope
from directory.unit_of_work import UnitOfWork
from groupseal.encoding import HASH_LENGTH
from groupseal.reasons import Reason
from scim_gateway.bearer_auth import bearer_token
from scim_gateway.errors import UnauthorizedError
from scim_gateway.members.errors import MemberError, refused
from scim_gateway.wiring import wiring


class MemberRequest:
    """The present request of a signed-in, active member."""

    def __init__(self, uow: UnitOfWork, caller: MemberCaller) -> None:
        self._uow = uow
        self.scope = TenantScope(uow.connection, caller.tenant_id)
        self.member_id = caller.member_id

    def commit(self) -> None:
        """Makes what the request did durable."""
        self._uow.commit()

    def wake(self) -> None:
        """After the commit: there is work for the tenant."""
        wiring().wake(self.scope.tenant_id)

    def organisation(self) -> Organisation:
        """The member's organisation. Raises MemberError (409) while there is none."""
        found = organisation(self.scope)
        if found is None:
            raise refused(409, Reason.NOT_CONNECTED)
        return found


def open_unit_of_work() -> UnitOfWork:
    """The request's unit of work, which its end closes."""
    uow = UnitOfWork(wiring().engine)
    g.unit_of_work = uow.__enter__()
    return uow


def member_request() -> MemberRequest:
    """Authenticates the present request. Raises UnauthorizedError."""
    token = bearer_token(request.headers.get("Authorization"))
    uow = open_unit_of_work()
    caller = uow.first(lambda connection: member_caller(connection, token))
    if caller is None:
        raise UnauthorizedError("the session is unknown or over, or the user is not active")
    return MemberRequest(uow, caller)


def answer(body: Mapping[str, Any], status: int = 200) -> Response:
    """JSON that no cache keeps."""
    response = Response(json.dumps(body), status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response


def identifier(text: str) -> UUID:
    """An id out of an address. Raises MemberError (404)."""
    canonical = canonical_uuid(text)
    if canonical is None:
        raise MemberError(404, "not_found", "there is no group with this id")
    return UUID(canonical)


def key_id_from(text: str, name: str) -> bytes:
    """A key id out of an address. Raises MemberError (400), which calls it `name`."""
    try:
        key_id = bytes.fromhex(text) if text.isalnum() else b""
    except ValueError:
        key_id = b""
    if len(key_id) != HASH_LENGTH:
        raise MemberError(400, Reason.MALFORMED, f"{name} must be 64 hexadecimal digits")
    return key_id


def encoded(data: bytes) -> str:
    """Standard base64."""
    return base64.b64encode(data).decode()


def decoded(body: Mapping[str, Any], name: str) -> bytes:
    """A field in standard base64. Raises MemberError (400)."""
    value = body.get(name)
    if not isinstance(value, str):
        raise MemberError(400, Reason.MALFORMED, f"{name} must be a string in base64")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise MemberError(400, Reason.MALFORMED, f"{name} is not in base64") from None
