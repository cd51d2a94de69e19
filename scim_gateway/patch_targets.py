"""Pure: which attribute of a user a PATCH path means (RFC 7644 §3.5.2, §3.10)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from scim_gateway.attributes import ENTERPRISE_SCHEMA, USER_SCHEMA
from scim_gateway.definitions import EXTENSIONS, USER, Definition, Definitions
from scim_gateway.errors import InvalidPathError
from scim_gateway.filter_grammar import Attribute, Filter, PatchPath
from scim_gateway.patch_operations import path_of
from scim_gateway.user_document import MANAGER, is_foreign, is_urn

# `urn:…:2.0:User` is a schema's name and `urn:…:2.0:User:department` an attribute of it, if the
# schema is not known to us.
_VERSIONED = re.compile(r"(?P<schema>.*:\d+(?:\.\d+)*:[^:]+?)(?::(?P<name>[^:]+))?")


@dataclass(frozen=True, slots=True)
class Target:
    """An attribute of the user or, with `extension`, of that extension.

    Without `name` the whole of it is meant. `definition` is None for what no schema describes.
    """

    extension: str | None
    name: str | None
    sub: str | None = None
    condition: Filter | None = None
    definition: Definition | None = None

    @property
    def label(self) -> str:
        """What errors call it."""
        name = ":".join(part for part in (self.extension, self.name) if part)
        return (name if self.sub is None else f"{name}.{self.sub}")[:200]

    @property
    def is_read_only(self) -> bool:
        """Whether it is ours to set: an attribute, or all of an extension."""
        if self.name is None and self.extension is not None:
            known = _definitions(self.extension)
            return bool(known) and all(one.read_only for one in known.values())
        return self.definition is not None and self.definition.read_only

    @property
    def sub_definition(self) -> Definition | None:
        """What is known of the sub-attribute."""
        if self.definition is None or self.sub is None:
            return None
        return self.definition.subs.get(self.sub.lower())


def target_of(path: PatchPath, resource: Mapping[str, Any]) -> Target:
    """What a path means for this user. Raises InvalidPathError."""
    attribute = path.attribute
    if attribute.urn is None:
        if attribute.name.lower() == MANAGER:  # Entra ID's short form
            return _within(ENTERPRISE_SCHEMA, attribute, path.condition)
        return _within(None, attribute, path.condition)
    whole = f"{attribute.urn}:{attribute.name}"
    schema = _schema_named(whole, resource)
    if schema is not None:
        if attribute.sub is not None or path.condition is not None:
            raise InvalidPathError(f"{str(attribute)[:200]} needs a colon before the attribute")
        return Target(None if schema == USER_SCHEMA else schema, None)
    schema = _schema_named(attribute.urn, resource) or attribute.urn
    if is_foreign(schema) and schema != USER_SCHEMA:
        raise InvalidPathError(f"a user has no attributes of {schema[:100]}")
    return _within(None if schema == USER_SCHEMA else schema, attribute, path.condition)


def target_named(name: str, value: object, resource: Mapping[str, Any]) -> Target:
    """What a name in a PATCH without a path means. Raises InvalidPathError.

    A URN that holds an object is an extension, as in a user's object, unless it is known better.
    """
    path = path_of(name)
    target = target_of(path, resource)
    is_bare = path.condition is None and path.attribute.sub is None
    if is_urn(name) and is_bare and isinstance(value, Mapping) and target.name is not None:
        urn = path.attribute.urn or ""
        if _schema_named(urn, resource) is None and target.extension is not None:
            return Target(name, None)
    return target


def within(target: Target, name: str) -> Target:
    """The attribute of that name in the same extension. Raises InvalidPathError."""
    path = path_of(name)
    if path.attribute.urn is not None:
        raise InvalidPathError(f"{name[:100]!r} is no attribute of {target.label}")
    return _within(target.extension, path.attribute, path.condition)


def spelled(target: Target, container: Mapping[str, Any]) -> str:
    """The attribute's name as its schema or the container spells it."""
    name = target.name or ""
    return target.definition.name if target.definition else held_name(container, name)


def spelled_sub(target: Target, element: Mapping[str, Any]) -> str:
    """The sub-attribute's name as its schema or the element spells it."""
    known = target.sub_definition
    return known.name if known else held_name(element, target.sub or "")


def held_name(container: Mapping[str, Any], name: str) -> str:
    """The name as it is spelled there already (RFC 7643 §2.1: case does not matter)."""
    return next((held for held in container if held.lower() == name.lower()), name)


def _within(extension: str | None, attribute: Attribute, condition: Filter | None) -> Target:
    definition = _definitions(extension).get(attribute.name.lower())
    target = Target(extension, attribute.name, attribute.sub, condition, definition)
    return target if definition is None else replace(target, name=definition.name)


def _definitions(extension: str | None) -> Definitions:
    if extension is None:
        return USER
    return EXTENSIONS[extension.lower()][1] if extension.lower() in EXTENSIONS else {}


def _schema_named(urn: str, resource: Mapping[str, Any]) -> str | None:
    """The schema of this URN, as it is spelled; None if it is no schema's."""
    if urn.lower() == USER_SCHEMA.lower():
        return USER_SCHEMA
    if urn.lower() in EXTENSIONS:
        return EXTENSIONS[urn.lower()][0]
    held = held_name(resource, urn)
    if held in resource:
        return held
    match = _VERSIONED.fullmatch(urn)
    return urn if match is not None and match["name"] is None else None
