"""Pure: groups, from SCIM and to SCIM. Members are handled as what changes, never as a document."""

from collections.abc import Mapping
from typing import Any

from directory.group_push import Push
from directory.groups import Group
from directory.membership_change import MemberOperation, Verb
from scim_gateway.attributes import (
    GROUP_SCHEMA,
    GROUP_SPELLING,
    optional_text,
    required_text,
    spelled,
)
from scim_gateway.group_members import members_from
from scim_gateway.versions import etag


def push_from(body: Mapping[str, Any], *, whole: bool) -> Push:
    """What a group object says: of a new group, or with `whole` of one that it replaces.

    Raises InvalidValueError or InvalidSyntaxError.
    """
    given = spelled(body, GROUP_SPELLING)
    verb = Verb.REPLACE if whole else Verb.ADD
    members = MemberOperation(verb, members_from(given.get("members")))
    return Push(
        display_name=required_text(given.get("displayName"), "displayName"),
        external_id=optional_text(given.get("externalId"), "externalId"),
        operations=[members] if whole or members.members else [],
    )


def group_resource(group: Group, base_url: str) -> dict[str, Any]:
    """The group as SCIM clients see it, without its members."""
    resource: dict[str, Any] = {
        "schemas": [GROUP_SCHEMA],
        "id": str(group.id),
        "displayName": group.display_name,
        "meta": {
            "resourceType": "Group",
            "created": group.created_at.isoformat(),
            "lastModified": group.updated_at.isoformat(),
            "location": f"{base_url}/Groups/{group.id}",
            "version": etag(group.version),
        },
    }
    if group.external_id is not None:
        resource["externalId"] = group.external_id
    return resource
