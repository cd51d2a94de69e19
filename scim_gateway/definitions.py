"""Pure: what each attribute of a user may hold, read from the schemas that are served."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scim_gateway.attributes import ENTERPRISE_SCHEMA, PROVISIONING_USER_SCHEMA, USER_SCHEMA
from scim_gateway.schemas import SCHEMAS


@dataclass(frozen=True, slots=True)
class Definition:
    """An attribute's characteristics (RFC 7643 §2.2); `subs` by their lower-case names."""

    name: str
    kind: str
    multi_valued: bool = False
    read_only: bool = False
    required: bool = False
    subs: Mapping[str, "Definition"] = field(default_factory=dict)

    @property
    def is_complex(self) -> bool:
        """Whether a value is an object."""
        return self.kind == "complex"


Definitions = Mapping[str, Definition]  # by lower-case name


def _read(attributes: Sequence[Mapping[str, Any]]) -> dict[str, Definition]:
    return {one["name"].lower(): _definition(one) for one in attributes}


def _definition(attribute: Mapping[str, Any]) -> Definition:
    return Definition(
        name=attribute["name"],
        kind=attribute["type"],
        multi_valued=attribute["multiValued"],
        read_only=attribute["mutability"] == "readOnly",
        required=attribute["required"],
        subs=_read(attribute.get("subAttributes", ())),
    )


# Common to all resources and in no schema (RFC 7643 §3.1); `schemas` follows from the extensions.
_COMMON = (
    Definition("id", "string", read_only=True),
    Definition("externalId", "string"),
    Definition("meta", "complex", read_only=True),
    Definition("schemas", "string", multi_valued=True, read_only=True),
)
USER: Definitions = {one.name.lower(): one for one in _COMMON} | _read(
    SCHEMAS[USER_SCHEMA]["attributes"]
)
# Extensions with known attributes, by lower-case URN: how it is spelled, and what it holds.
EXTENSIONS: Mapping[str, tuple[str, Definitions]] = {
    urn.lower(): (urn, _read(SCHEMAS[urn]["attributes"]))
    for urn in (ENTERPRISE_SCHEMA, PROVISIONING_USER_SCHEMA)
}
