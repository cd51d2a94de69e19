"""Users and groups as JSON text for clients: the resource, and what is derived around it.

Everything that is looked up is looked up for a whole page at once: the number of statements does
not depend on how many resources there are.
"""

import json
from collections.abc import Iterator, Sequence
from uuid import UUID

from directory.groups import Group
from directory.listings import members_json_by_group
from directory.memberships import members_json
from directory.users import User
from scim_gateway.group_mapping import group_resource, with_members
from scim_gateway.request_scope import ScimRequest
from scim_gateway.responses import Projection
from scim_gateway.user_mapping import user_resource


def users_json(call: ScimRequest, users: Sequence[User], projection: Projection) -> list[str]:
    """Complete resources, in the order of the users."""
    return [json.dumps(projection.of(user_resource(user, call.base_url))) for user in users]


def groups_json(call: ScimRequest, groups: Sequence[Group], projection: Projection) -> list[str]:
    """Complete resources, in the order of the groups."""
    members: dict[UUID, str] | None = None
    if groups and projection.has("members"):
        members = members_json_by_group(call.scope, [group.id for group in groups])
    return [
        with_members(
            projection.of(group_resource(group, call.base_url)),
            None if members is None else members.get(group.id, "[]"),
        )
        for group in groups
    ]


def group_stream(call: ScimRequest, group: Group, projection: Projection) -> Iterator[str]:
    """One group of any size, piece by piece."""
    members = members_json(call.scope, group.id) if projection.has("members") else None
    yield with_members(projection.of(group_resource(group, call.base_url)), members)
