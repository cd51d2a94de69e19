"""Which attribute of which schema a name in a filter means, and where its values come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import func, literal_column

from directory.search_fields import MANAGER, Fields, group_fields, user_fields
from directory.search_sources import Elements, ElementValues, Values, json_elements
from directory.search_tests import Expression, Truth, bound_text, json_member, json_named
from directory.tables import users
from scim_gateway.attributes import (
    ENTERPRISE_SCHEMA,
    GROUP_SCHEMA,
    PROVISIONING_GROUP_SCHEMA,
    PROVISIONING_USER_SCHEMA,
    USER_SCHEMA,
)
from scim_gateway.errors import InvalidFilterError
from scim_gateway.filter_grammar import Attribute
from scim_gateway.schemas import SCHEMAS

_Definition = Mapping[str, Any]
# Common to every resource and in no schema (RFC 7643 §3.1).
_TEXT = {"type": "string", "multiValued": False, "caseExact": True}
_TIME = {"type": "dateTime", "multiValued": False}
_COMMON: tuple[_Definition, ...] = (
    {"name": "id", **_TEXT},
    {"name": "externalId", **_TEXT},
    {"name": "schemas", **_TEXT, "multiValued": True, "caseExact": False},
    {
        "name": "meta",
        "type": "complex",
        "multiValued": False,
        "subAttributes": [
            {"name": "resourceType", **_TEXT},
            {"name": "created", **_TIME},
            {"name": "lastModified", **_TIME},
            {"name": "version", **_TEXT},
            {"name": "location", **_TEXT},
        ],
    },
)
# Not in a schema: what Okta calls the address that identifies a user.
_EMAIL: _Definition = {"name": "email", "type": "string", "multiValued": False}
_ANYTHING: _Definition = {"name": "", "type": "any", "multiValued": True}
# Computed for an answer, from what the database does not hold in this form.
_NOT_SEARCHED = frozenset({PROVISIONING_USER_SCHEMA.lower(), PROVISIONING_GROUP_SCHEMA.lower()})


@dataclass(frozen=True, slots=True)
class Known:
    """An attribute that resources of a kind can have.

    `kind` is a type of RFC 7643 §2.3, or "any" under an extension that no schema describes.
    `compared` are the values that a comparison is about, None where there are none to compare;
    `present` those that `pr` is about. `subs` are the sub-attributes, None if any are allowed.
    """

    label: str
    kind: str
    exact: bool
    compared: Values | None
    present: Values
    elements: Elements | None = None
    subs: Mapping[str, _Definition] | None = None


class Searched:
    """One kind of resource, with the schemas whose attributes it has."""

    def __init__(self, name: str, fields: Fields, schema: str, extensions: Sequence[str]) -> None:
        self.name = name
        self.fields = fields
        self._schema = schema.lower()
        self._core = _by_name((*_COMMON, *SCHEMAS[schema]["attributes"]))
        self._extensions = {
            urn.lower(): (urn, _by_name(SCHEMAS[urn]["attributes"]))
            for urn in extensions
            if urn in SCHEMAS
        }

    def find(self, attribute: Attribute) -> Known | None:
        """None if resources of this kind have no such attribute. Raises InvalidFilterError."""
        urn = None if attribute.urn is None else attribute.urn.lower()
        whole = str(attribute).lower()
        if urn in _NOT_SEARCHED or whole in _NOT_SEARCHED:
            raise InvalidFilterError(f"{attribute} is computed: it cannot be searched or sorted by")
        if whole in self._extensions:
            spelling, definitions = self._extensions[whole]
            return self._extension(spelling, definitions)
        if urn in self._extensions:
            return self._extended(urn, attribute)
        if urn is not None and urn != self._schema:
            return None if urn.startswith("urn:ietf:params:scim:") else self._unknown(attribute)
        if attribute.name.lower() in self._core:
            return self._core_attribute(attribute)
        if urn is None:
            return self._without_urn(attribute)
        return None

    def _core_attribute(self, attribute: Attribute) -> Known | None:
        definition = self._core[attribute.name.lower()]
        name = definition["name"]
        elements = self.fields.elements.get(name.lower())
        if elements is None and self.fields.document is not None:
            elements = json_elements(json_named(self.fields.document, name))
        return self._known(definition, attribute.sub, elements, name)

    def _without_urn(self, attribute: Attribute) -> Known | None:
        """Names that clients use without the URN that belongs to them."""
        if attribute.name.lower() == "email" and "email" in self.fields.columns:
            return self._known(_EMAIL, attribute.sub, None, "email")
        for urn, (_, definitions) in self._extensions.items():
            if attribute.name.lower() in definitions and urn not in _NOT_SEARCHED:
                return self._extended(urn, attribute)
        return None

    def _extended(self, urn: str, attribute: Attribute) -> Known | None:
        spelling, definitions = self._extensions[urn]
        definition = definitions.get(attribute.name.lower())
        if definition is None or self.fields.document is None:
            return None
        name = definition["name"]
        held = json_member(json_member(self.fields.document, spelling), name)
        elements = json_elements(held)
        if name == "manager":
            elements = Elements(elements.some, held, quick={"value": _managed_by})
        return self._known(definition, attribute.sub, elements, f"{spelling}:{name}")

    def _extension(self, urn: str, definitions: Mapping[str, _Definition]) -> Known:
        """All of an extension, of which can be asked whether it is there."""
        document = self.fields.document
        held = literal_column("NULL::jsonb") if document is None else json_member(document, urn)
        return Known(
            urn, "complex", True, None, ElementValues(json_elements(held)), None, definitions
        )

    def _unknown(self, attribute: Attribute) -> Known:
        """Of an extension that no schema describes: kept and returned, so it can be searched."""
        document, urn = self.fields.document, attribute.urn or ""
        held: Expression = literal_column("NULL::jsonb")
        if document is not None:
            held = json_member(json_member(document, urn), attribute.name)
        elements = json_elements(held)
        present = ElementValues(elements, attribute.sub)
        compared = present if attribute.sub else ElementValues(elements, "value")
        return Known(str(attribute), "any", False, compared, present, elements, None)

    def _known(
        self, definition: _Definition, sub: str | None, elements: Elements | None, label: str
    ) -> Known | None:
        """The attribute or its sub-attribute; None if it has no such sub-attribute."""
        subs = _by_name(definition.get("subAttributes", ()))
        outer = definition
        if sub is not None:
            if sub.lower() not in subs:
                return None
            definition = subs[sub.lower()]
            label = f"{label}.{definition['name']}"
        column = self.fields.columns.get(label.lower())
        if column is not None:
            return Known(label, definition["type"], _exact(definition), column, column)
        if elements is None:
            return None
        inner = None if sub is None else definition["name"]
        present = ElementValues(elements, inner)
        compared: Values | None = present
        if definition["type"] == "complex":
            # A comparison with a complex attribute is one with its value (RFC 7644 §3.4.2.2).
            definition = subs.get("value", definition)
            compared = ElementValues(elements, "value") if "value" in subs else None
        whole = elements if sub is None and outer["multiValued"] else None
        kind = definition["type"]
        return Known(label, kind, _exact(definition), compared, present, whole, subs or None)


@lru_cache(maxsize=32)  # by our address, which a client may name as it likes
def searched_users(base_url: str) -> Searched:
    """Users, as they are searched: made once, since making it costs more than a look-up."""
    fields = user_fields(base_url, _user_schemas())
    return Searched("User", fields, USER_SCHEMA, (ENTERPRISE_SCHEMA, PROVISIONING_USER_SCHEMA))


@lru_cache(maxsize=32)
def searched_groups(base_url: str) -> Searched:
    """Groups, as they are searched."""
    schemas = func.jsonb_build_array(GROUP_SCHEMA, PROVISIONING_GROUP_SCHEMA, type_=JSONB())
    fields = group_fields(base_url, schemas)
    return Searched("Group", fields, GROUP_SCHEMA, (PROVISIONING_GROUP_SCHEMA,))


def _user_schemas() -> Expression:
    """The URNs that a user's resource names: those under which it holds something."""
    keys = func.jsonb_path_query_array(
        users.c.attributes,
        literal_column('\'$.keyvalue() ? (@.key like_regex "^urn:" flag "i").key\''),
        type_=JSONB(),
    )
    own = func.jsonb_build_array(USER_SCHEMA, PROVISIONING_USER_SCHEMA, type_=JSONB())
    return own.op("||", return_type=JSONB())(keys)


def _managed_by(value: str) -> Truth:
    """By the path that an index has; attributes of known schemas are stored in their spelling."""
    return func.lower(MANAGER) == func.lower(bound_text(value))


def _by_name(definitions: Sequence[_Definition]) -> dict[str, _Definition]:
    return {one["name"].lower(): one for one in definitions}


def _exact(definition: _Definition) -> bool:
    return bool(definition.get("caseExact", False)) or definition["type"] == "binary"
