"""POST /sessions: a one-time code becomes a token."""

from datetime import timedelta

from flask import Blueprint, Response, request

from directory.credentials import create_session, use_code
from directory.tenancy import TenantScope
from groupseal.reasons import Reason
from scim_gateway.json_body import json_object
from scim_gateway.members.errors import MemberError
from scim_gateway.members.scope import answer, open_unit_of_work

_VALID_FOR = timedelta(days=30)
_MOST = 64


def register(blueprint: Blueprint) -> None:
    """Adds the routes."""
    blueprint.add_url_rule("/sessions", "sessions_create", create, methods=["POST"])


def create() -> Response:
    """Signs a member in. The code is used up by this, and by this alone."""
    code = json_object(request).get("code")
    if not isinstance(code, str) or not 0 < len(code) <= _MOST or not code.isascii():
        raise MemberError(400, Reason.MALFORMED, "code must be the text of an enrolment code")
    uow = open_unit_of_work()
    caller = uow.first(lambda connection: use_code(connection, code))
    if caller is None:
        raise MemberError(
            401,
            "code_invalid",
            "the code is unknown, used or expired: ask for a new one "
            "(`groupseal enrolment-code create`)",
        )
    token = create_session(
        TenantScope(uow.connection, caller.tenant_id), caller.member_id, _VALID_FOR
    )
    uow.commit()
    return answer(
        {
            "token": token,
            "tenant_id": str(caller.tenant_id),
            "member_id": str(caller.member_id),
            "user_name": caller.user_name,
        }
    )
