"""Pure: members of a group as clients send them."""

from collections.abc import Mapping

from scim_gateway.attributes import MAX_TEXT
from scim_gateway.errors import InvalidValueError


def members_from(value: object) -> dict[str, str | None]:
    """Values with their display names, each once. Raises InvalidValueError."""
    if value is None:
        return {}
    if isinstance(value, str | Mapping):
        value = [value]
    if not isinstance(value, list):
        raise InvalidValueError("members must be a list of objects with a value")
    members: dict[str, str | None] = {}
    for one in value:
        if not isinstance(one, str | Mapping):
            raise InvalidValueError("each of members must be an object with a value")
        name, display = (one, None) if isinstance(one, str) else _value_and_display(one)
        if not isinstance(name, str) or not name or len(name) > MAX_TEXT:
            raise InvalidValueError(
                f"the value of each of members must be text of at most {MAX_TEXT} characters"
            )
        members[name] = display[:MAX_TEXT] if isinstance(display, str) and display else None
    return members


def _value_and_display(member: Mapping[str, object]) -> tuple[object, object]:
    if "value" not in member:  # seldom: names are compared without case (RFC 7643 §2.1)
        member = {name.lower(): one for name, one in member.items()}
    return member.get("value"), member.get("display")
