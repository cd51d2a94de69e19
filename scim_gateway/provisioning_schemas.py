"""Our own extensions (RFC 7643 §3.3): what of a push is in effect, and what waits for what.

Everything in them is readOnly: it is told, never taken.
"""

from typing import Any

from scim_gateway.attributes import PROVISIONING_GROUP_SCHEMA, PROVISIONING_USER_SCHEMA


def _attribute(name: str, kind: str, description: str, **differing: Any) -> dict[str, Any]:
    attribute: dict[str, Any] = {
        "name": name,
        "type": kind,
        "multiValued": False,
        "description": description,
        "required": False,
        "mutability": "readOnly",
        "returned": "default",
    }
    if kind in {"string", "reference"}:
        attribute |= {"caseExact": True, "uniqueness": "none"}
    return attribute | differing


def _schema(urn: str, description: str, *attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": urn,
        "name": "Provisioning" + urn.rpartition(":")[2],
        "description": description,
        "attributes": list(attributes),
    }


_REASONS = _attribute(
    "waiting",
    "complex",
    "What waits, and for what.",
    multiValued=True,
    subAttributes=[
        _attribute("reason", "string", "The reason, one of a fixed list."),
        _attribute("count", "integer", "How many wait for it."),
    ],
)
GROUP_PROVISIONING = _schema(
    PROVISIONING_GROUP_SCHEMA,
    "How much of a group's desired list of members is in effect.",
    _attribute("committed", "integer", "Members who hold the group's present key."),
    _REASONS,
)
USER_PROVISIONING = _schema(
    PROVISIONING_USER_SCHEMA,
    "How much of a user's desired memberships is in effect.",
    _attribute("committed", "integer", "Groups whose present key the user holds."),
    _REASONS,
)
