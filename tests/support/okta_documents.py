"""What Okta's API answers with: groups, users and errors, as documents."""

import json
import secrets
from dataclasses import dataclass
from typing import Any

from tests.support.stand_in_server import Reply

ERRORS = {
    "E0000003": (400, "The request body was not well-formed."),
    "E0000006": (403, "You do not have permission to perform the requested action"),
    "E0000007": (404, "Not found: Resource not found"),
    "E0000008": (404, "The requested path was not found"),
    "E0000011": (401, "Invalid token provided"),
    "E0000031": (400, "Invalid search criteria."),
    "E0000047": (429, "API call exceeded rate limit due to too many requests."),
}


@dataclass
class OktaUser:
    id: str
    login: str
    status: str = "ACTIVE"


@dataclass
class OktaGroup:
    id: str
    name: str
    members: dict[str, None]
    type: str = "OKTA_GROUP"


def searched_name(expression: str) -> str | None:
    """The string of `profile.name eq "…"`, with its escapes resolved; None if malformed."""
    prefix = "profile.name eq "
    if not expression.startswith(prefix):
        return None
    try:
        name = json.loads(expression[len(prefix) :])
    except ValueError:
        return None
    return name if isinstance(name, str) else None


def group_document(group: OktaGroup) -> dict[str, Any]:
    return {
        "id": group.id,
        "objectClass": ["okta:user_group"],
        "type": group.type,
        "profile": {"name": group.name, "description": None},
    }


def user_document(user: OktaUser) -> dict[str, Any]:
    return {
        "id": user.id,
        "status": user.status,
        "profile": {"login": user.login, "email": user.login},
    }


def error(code: str) -> Reply:
    status, summary = ERRORS[code]
    return Reply(
        status,
        {
            "errorCode": code,
            "errorSummary": summary,
            "errorLink": code,
            "errorId": secrets.token_urlsafe(12),
            "errorCauses": [],
        },
    )
