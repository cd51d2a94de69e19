"""Pure: names and values of SCIM attributes, as clients spell them (RFC 7643 §2)."""

from collections.abc import Mapping
from typing import Any

from scim_gateway.errors import InvalidSyntaxError, InvalidValueError

USER_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE_SCHEMA = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
# Our own, readOnly: what of a group or of a user's memberships is in effect, and what waits.
_PROVISIONING = "urn:groupseal:params:scim:schemas:extension:provisioning:1.0:"
PROVISIONING_GROUP_SCHEMA = _PROVISIONING + "Group"
PROVISIONING_USER_SCHEMA = _PROVISIONING + "User"

# Attribute names are case-insensitive (RFC 7643 §2.1); these are how we spell them.
_GROUP_ATTRIBUTES = ["schemas", "id", "externalId", "meta", "displayName", "members"]
GROUP_SPELLING = {name.lower(): name for name in _GROUP_ATTRIBUTES}

# Characters of text that is indexed: an index row holds about 2,700 bytes, and case-folding makes
# up to six bytes of one character.
MAX_TEXT = 400


def spelled(body: Mapping[str, Any], spelling: Mapping[str, str]) -> dict[str, Any]:
    """The object with its top-level names spelled our way. Raises InvalidSyntaxError on doubles."""
    result: dict[str, Any] = {}
    for name, value in body.items():
        ours = name if name.lower().startswith("urn:") else spelling.get(name.lower(), name)
        if ours in result:
            raise InvalidSyntaxError(f"the attribute {ours!r} is there twice")
        result[ours] = value
    return result


def boolean(value: object, name: str) -> bool:
    """True or False, also from the strings that some clients send. Raises InvalidValueError."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    raise InvalidValueError(f"{name} must be true or false")


def optional_text(value: object, name: str) -> str | None:
    """Text; None for null and for the empty string. Raises InvalidValueError."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise InvalidValueError(f"{name} must be a string")
    if len(value) > MAX_TEXT:
        raise InvalidValueError(f"{name} must not be longer than {MAX_TEXT} characters")
    return value


def required_text(value: object, name: str) -> str:
    """Text that is not blank. Raises InvalidValueError."""
    text = optional_text(value, name)
    if text is None or not text.strip():
        raise InvalidValueError(f"{name} is required and must not be empty")
    return text
