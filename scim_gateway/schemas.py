"""The schemas that are served (RFC 7643 §7, §8.7): those of `scim2-models`, with what is so here.

Made once, when this module is imported. What requests are checked against is read from the same
documents, in `definitions`.
"""

from collections.abc import Callable, Iterator
from typing import Any

from scim2_models import EnterpriseUser, Group, Schema, User

from scim_gateway.attributes import (
    ENTERPRISE_SCHEMA,
    GROUP_SCHEMA,
    PROVISIONING_GROUP_SCHEMA,
    PROVISIONING_USER_SCHEMA,
    USER_SCHEMA,
)
from scim_gateway.provisioning_schemas import GROUP_PROVISIONING, USER_PROVISIONING

# What differs from the library's models, by dotted name; None takes the attribute out.
_DIFFERING: dict[str, dict[str, dict[str, Any] | None]] = {
    USER_SCHEMA: {
        # Accepted and thrown away: nobody signs in here, so it is no attribute of ours.
        "password": None,
        "active": {
            "required": True,  # always there, and never removed
            "description": "An inactive user is served nothing from the moment this is stored. "
            "True for a new user unless it says otherwise.",
        },
        "userName": {"description": "Unique in the tenant, compared without case."},
        # Members are members of a group themselves; there are no groups in groups.
        "groups.type": {"canonicalValues": ["direct"]},
    },
    GROUP_SCHEMA: {
        "displayName": {
            "uniqueness": "server",
            "description": "The name that people see; unique in the tenant, compared without case.",
        },
        "members": {
            "description": "Users of this tenant, by id or externalId. Values of no user are kept "
            "and join when such a user appears."
        },
        "members.type": {"canonicalValues": ["User"]},
        "members.$ref": {"referenceTypes": ["User"]},
        "members.display": {
            "mutability": "immutable",
            "description": "The name of the member, as the identity provider sent it.",
        },
    },
    ENTERPRISE_SCHEMA: {
        # RFC 7643 §8.7.1 asks for neither; clients send one of them, mostly the value.
        "manager.value": {"required": False},
        "manager.$ref": {"required": False},
        # Kept as it was sent: managers are not looked up here.
        "manager.displayName": {"mutability": "readWrite"},
    },
}


def _document(schema: Schema) -> dict[str, Any]:
    document: dict[str, Any] = schema.model_dump()
    differing = _DIFFERING[document["id"]]
    document["attributes"] = list(_adapted(document["attributes"], differing, ""))
    return document


def _adapted(
    attributes: list[dict[str, Any]], differing: dict[str, dict[str, Any] | None], prefix: str
) -> Iterator[dict[str, Any]]:
    for attribute in attributes:
        name = prefix + attribute["name"]
        changes = differing.get(name, {})
        if changes is None:
            continue
        adapted = attribute | changes
        adapted["description"] = " ".join(adapted.get("description", name).split())
        if "subAttributes" in attribute:
            adapted["subAttributes"] = list(
                _adapted(attribute["subAttributes"], differing, name + ".")
            )
        yield adapted


_MODELS: tuple[Callable[[], Schema], ...] = (
    User.to_schema,
    Group.to_schema,
    EnterpriseUser.to_schema,
)
SCHEMAS: dict[str, dict[str, Any]] = {
    **{document["id"]: document for document in (_document(model()) for model in _MODELS)},
    PROVISIONING_USER_SCHEMA: USER_PROVISIONING,
    PROVISIONING_GROUP_SCHEMA: GROUP_PROVISIONING,
}
