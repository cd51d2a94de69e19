"""Pure: a user's object as clients send it, checked and in our spelling."""

import re
from collections.abc import Mapping
from typing import Any

from scim_gateway.attribute_values import checked_attributes
from scim_gateway.attributes import ENTERPRISE_SCHEMA, USER_SCHEMA
from scim_gateway.definitions import EXTENSIONS, USER, Definitions
from scim_gateway.errors import InvalidSyntaxError, InvalidValueError

# Never kept. `schemas` is derived from the extensions that are there.
_NOT_KEPT = frozenset({"password", "schemas"})
# Known by their URN, but of other resources and messages.
_FOREIGN = re.compile(r"urn:ietf:params:scim:(schemas:core|api):", re.IGNORECASE)
MANAGER = "manager"


def is_urn(name: str) -> bool:
    """Whether a name is, or begins with, the URN of a schema."""
    return name[:4].lower() == "urn:"


def is_foreign(urn: str) -> bool:
    """Whether the URN is of a core schema that a user does not have."""
    return _FOREIGN.match(urn) is not None


def extension_of(urn: str) -> tuple[str, Definitions]:
    """An extension's URN as it is spelled, and what is known of its attributes."""
    return EXTENSIONS.get(urn.lower(), (urn, {}))


def user_document(body: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes a client may set, with each extension that holds something.

    What is readOnly is ignored, so that what was read can be sent back; a password is never kept.
    Unknown attributes and extensions are. Raises InvalidValueError or InvalidSyntaxError.
    """
    core: dict[str, Any] = {}
    extensions: dict[str, dict[str, Any]] = {}
    for name, value in body.items():
        if not is_urn(name):
            if name.lower() not in _NOT_KEPT:
                core[name] = value
        elif name.lower() == USER_SCHEMA.lower() or is_foreign(name):
            raise InvalidValueError(f"{name[:100]} is no extension: send its attributes directly")
        elif value is not None:
            urn, attributes = _extension(name, value)
            if urn.lower() in {held.lower() for held in extensions}:
                raise InvalidSyntaxError(f"{urn[:100]} is there twice: send it once")
            extensions[urn] = attributes
    document = checked_attributes(USER, _without_manager(core, extensions))
    return document | {urn: held for urn, held in extensions.items() if held}


def _extension(name: str, value: object) -> tuple[str, dict[str, Any]]:
    urn, definitions = extension_of(name)
    if not isinstance(value, Mapping):
        raise InvalidValueError(f"{urn[:100]} must be an object of attributes")
    return urn, checked_attributes(definitions, value, f"{urn[:100]}:")


def _without_manager(core: dict[str, Any], extensions: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Moves a manager beside the core attributes, as Entra ID sends it, to where it belongs."""
    given = {name: value for name, value in core.items() if name.lower() == MANAGER}
    if not given:
        return core
    held = extensions.setdefault(ENTERPRISE_SCHEMA, {})
    _, definitions = extension_of(ENTERPRISE_SCHEMA)
    for name, value in checked_attributes(definitions, given).items():
        held.setdefault(name, value)
    return {name: value for name, value in core.items() if name not in given}
