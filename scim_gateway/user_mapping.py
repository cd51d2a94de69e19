"""Pure: users, from SCIM and to SCIM."""

import json
from collections.abc import Mapping
from typing import Any

from directory.users import User, UserContent
from scim_gateway.attributes import (
    USER_SCHEMA,
    USER_SPELLING,
    boolean,
    optional_text,
    required_text,
    spelled,
)
from scim_gateway.errors import InvalidValueError
from scim_gateway.versions import etag

# Set by us alone, whatever a client sends back; a password is never kept.
_IGNORED = frozenset({"schemas", "id", "meta", "groups", "password"})
_COLUMNS = frozenset({"userName", "externalId", "emails", "active", "displayName"})
_MAX_ATTRIBUTES_BYTES = 65_536
_MAX_EMAILS = 50


def content_from(body: Mapping[str, Any], before: UserContent | None = None) -> UserContent:
    """The content that a whole user object describes.

    `active` and `externalId` stay as they were where the object does not mention them: leaving
    them out must neither let somebody in nor lose the link to the identity provider. Raises
    InvalidValueError or InvalidSyntaxError.
    """
    given = spelled(body, USER_SPELLING)
    active = before.active if before else True
    if given.get("active") is not None:
        active = boolean(given["active"], "active")
    external_id = before.external_id if before else None
    if "externalId" in given:
        external_id = optional_text(given["externalId"], "externalId")
    rest = {
        name: value
        for name, value in given.items()
        if name not in _IGNORED and name not in _COLUMNS and value is not None
    }
    if len(json.dumps(rest)) > _MAX_ATTRIBUTES_BYTES:
        raise InvalidValueError(f"a user may have {_MAX_ATTRIBUTES_BYTES} bytes of attributes")
    return UserContent(
        user_name=required_text(given.get("userName"), "userName"),
        external_id=external_id,
        emails=_emails(given.get("emails")),
        active=active,
        display_name=optional_text(given.get("displayName"), "displayName"),
        attributes=rest,
    )


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
    """The user as SCIM clients see it. `active` is always there."""
    extensions = sorted(name for name in user.content.attributes if name.lower().startswith("urn:"))
    return {
        "schemas": [USER_SCHEMA, *extensions],
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


def _emails(value: object) -> list[dict[str, Any]]:
    if value is None:
        return []
    if isinstance(value, str | Mapping):
        value = [value]  # a single value where a list belongs; seen in the wild
    if not isinstance(value, list) or len(value) > _MAX_EMAILS:
        raise InvalidValueError(f"emails must be a list of at most {_MAX_EMAILS} objects")
    return [_email(item) for item in value if item is not None]


def _email(item: object) -> dict[str, Any]:
    if isinstance(item, str):
        item = {"value": item}
    if not isinstance(item, Mapping):
        raise InvalidValueError("each of emails must be an object with a value")
    email = {
        name: inner for name, inner in spelled(item, _EMAIL_SPELLING).items() if inner is not None
    }
    for name, most in _EMAIL_LENGTHS.items():
        if not isinstance(email.get(name, ""), str) or len(email.get(name, "")) > most:
            raise InvalidValueError(
                f"{name} of emails must be a string of at most {most} characters"
            )
    if "primary" in email:
        email["primary"] = boolean(email["primary"], "primary of emails")
    return email


_EMAIL_LENGTHS = {"value": 320, "type": 40, "display": 400}
_EMAIL_SPELLING = {name: name for name in ("value", "type", "primary", "display")}
