"""Pure: users, from SCIM and to SCIM."""

import json
from collections.abc import Mapping
from typing import Any

from directory.users import User, UserContent
from scim_gateway.attributes import USER_SCHEMA, optional_text, required_text
from scim_gateway.errors import InvalidValueError
from scim_gateway.user_document import is_urn, user_document
from scim_gateway.versions import etag

_COLUMNS = frozenset({"userName", "externalId", "emails", "active", "displayName"})
_MAX_BYTES = 65_536
# Characters: the addresses and their types are indexed.
_EMAIL_LENGTHS = {"value": 320, "type": 40, "display": 400}


def content_from(body: Mapping[str, Any], before: UserContent | None = None) -> UserContent:
    """The content that a whole user object describes.

    `active` and `externalId` stay as they were where the object does not mention them: leaving
    them out must neither let somebody in nor lose the link to the identity provider. Raises
    InvalidValueError or InvalidSyntaxError.
    """
    given = user_document(body)
    external_id = optional_text(given.get("externalId"), "externalId")
    mentioned = any(name.lower() == "externalid" for name in body)
    if before is not None and not mentioned:
        external_id = before.external_id
    content = UserContent(
        user_name=required_text(given.get("userName"), "userName"),
        external_id=external_id,
        emails=_emails(given.get("emails", [])),
        active=given.get("active", before.active if before else True),
        display_name=optional_text(given.get("displayName"), "displayName"),
        attributes={name: value for name, value in given.items() if name not in _COLUMNS},
    )
    if len(json.dumps([content.attributes, content.emails])) > _MAX_BYTES:
        raise InvalidValueError(f"a user may have {_MAX_BYTES} bytes of attributes: send fewer")
    return content


def writable(user: User) -> dict[str, Any]:
    """The user as an object that PATCH changes and `content_from` takes back."""
    content = user.content
    body: dict[str, Any] = {"userName": content.user_name, "active": content.active}
    if content.external_id is not None:
        body["externalId"] = content.external_id
    if content.display_name is not None:
        body["displayName"] = content.display_name
    if content.emails:
        body["emails"] = [dict(email) for email in content.emails]
    return body | dict(content.attributes)


def user_resource(user: User, base_url: str) -> dict[str, Any]:
    """The user as SCIM clients see it: `active` is always there, `schemas` are those in it."""
    return {
        "schemas": [USER_SCHEMA, *sorted(filter(is_urn, user.content.attributes))],
        "id": str(user.id),
        **writable(user),
        "meta": {
            "resourceType": "User",
            "created": user.created_at.isoformat(),
            "lastModified": user.updated_at.isoformat(),
            "location": f"{base_url}/Users/{user.id}",
            "version": etag(user.version),
        },
    }


def _emails(emails: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for email in emails:
        for name, most in _EMAIL_LENGTHS.items():
            if len(email.get(name, "")) > most:
                raise InvalidValueError(f"emails.{name} may have {most} characters: shorten it")
    return emails
