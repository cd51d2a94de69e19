"""Pure: the query parameters of a list request, as criteria and a page."""

from collections.abc import Mapping, Sequence

from directory.listings import Criterion, Field, Page
from scim_gateway.attributes import GROUP_SCHEMA, USER_SCHEMA
from scim_gateway.errors import InvalidFilterError, InvalidValueError
from scim_gateway.filters import Comparison, parse_filter

DEFAULT_COUNT = 100
MAX_COUNT = 1_000
_FARTHEST = 2**40
_USER_FIELDS = {
    "id": Field.ID,
    "externalid": Field.EXTERNAL_ID,
    "username": Field.USER_NAME,
    "email": Field.PRIMARY_EMAIL,  # Okta's name for the unique identifier field
    "emails": Field.ANY_EMAIL,
    "emails.value": Field.ANY_EMAIL,
    "displayname": Field.DISPLAY_NAME,
    "active": Field.ACTIVE,
}
_GROUP_FIELDS = {
    "id": Field.ID,
    "externalid": Field.EXTERNAL_ID,
    "displayname": Field.DISPLAY_NAME,
    "members": Field.MEMBER,
    "members.value": Field.MEMBER,
}


def page_from(parameters: Mapping[str, str]) -> Page:
    """1-based `startIndex` and `count` (RFC 7644 §3.4.2.4). Raises InvalidValueError."""
    start = max(1, _integer(parameters, "startIndex", 1))
    count = min(MAX_COUNT, max(0, _integer(parameters, "count", DEFAULT_COUNT)))
    return Page(start - 1, count)


def user_criteria(text: str | None) -> list[Criterion]:
    """What a filter on users asks for. Raises InvalidFilterError."""
    return [_user_criterion(one) for one in parse_filter(text)] if text is not None else []


def group_criteria(text: str | None) -> list[Criterion]:
    """What a filter on groups asks for. Raises InvalidFilterError."""
    if text is None:
        return []
    return [_criterion(one, _GROUP_FIELDS, GROUP_SCHEMA) for one in parse_filter(text)]


def _user_criterion(comparison: Comparison) -> Criterion:
    path = comparison.path
    if path.filter is None:
        return _criterion(comparison, _USER_FIELDS, USER_SCHEMA)
    kind = _type_of(path.filter)
    is_address = path.attribute.lower() == "emails" and (path.sub or "value").lower() == "value"
    if kind is None or not is_address or not isinstance(comparison.value, str):
        raise InvalidFilterError('of elements, only emails[type eq "…"].value can be searched')
    return Criterion(Field.TYPED_EMAIL, comparison.value, kind)


def _type_of(conditions: Sequence[Comparison]) -> str | None:
    """The type in `type eq "work"`, None for any other condition."""
    condition = conditions[0]
    if len(conditions) != 1 or condition.path.attribute.lower() != "type":
        return None
    return condition.value if isinstance(condition.value, str) else None


def _criterion(comparison: Comparison, fields: Mapping[str, Field], schema: str) -> Criterion:
    name = comparison.path.attribute
    if name.lower().startswith(schema.lower() + ":"):
        name = name[len(schema) + 1 :]
    field = fields.get(name.lower())
    if field is None or comparison.path.filter is not None:
        raise InvalidFilterError(f"{name[:100]!r} cannot be searched")
    value = comparison.value
    if field is Field.ACTIVE:
        if str(value).lower() not in {"true", "false"}:
            raise InvalidFilterError("active is compared with true or false")
        return Criterion(field, str(value).lower() == "true")
    if not isinstance(value, str):
        raise InvalidFilterError(f"{name} is compared with text in quotation marks")
    return Criterion(field, value)


def _integer(parameters: Mapping[str, str], name: str, default: int) -> int:
    text = parameters.get(name)
    if text is None or text == "":
        return default
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()):
        raise InvalidValueError(f"{name} must be an integer")
    # Longer numbers lie beyond every list; the database would refuse them.
    number = min(int(digits[:20]), _FARTHEST)
    return -number if text.startswith("-") else number
