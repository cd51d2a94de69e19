"""Users and groups as JSON text for clients: the resource, and what is derived around it.

Everything that is looked up is looked up for a whole page at once: the number of statements does
not depend on how many resources there are. Counting a large group takes milliseconds, so pages
hold the provisioning extension only where `attributes` names it.
"""

import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any
from uuid import UUID

from directory.groups import Group
from directory.provisioning_view import (
    GroupProvisioning,
    memberships_of_groups,
    memberships_of_users,
    provisioning_of_groups,
    provisioning_of_users,
)
from directory.rosters import MemberForm, groups_of_users, roster_chunks, rosters
from directory.tenancy import TenantScope
from directory.users import User
from scim_gateway.attributes import PROVISIONING_GROUP_SCHEMA, PROVISIONING_USER_SCHEMA
from scim_gateway.group_mapping import group_resource
from scim_gateway.projection import Projection
from scim_gateway.provisioning import (
    DETAIL_NAMES,
    GROUP_DETAIL,
    USER_DETAIL,
    group_extension,
    member_detail,
    membership_detail,
    user_extension,
)
from scim_gateway.request_scope import ScimRequest
from scim_gateway.user_mapping import user_resource

_DETAILS_AT_A_TIME = 1_000


def users_json(
    call: ScimRequest,
    users: Sequence[User],
    projection: Projection,
    *,
    provisioning: bool = False,
    in_no_group: bool = False,
) -> list[str]:
    """Complete resources, in the order of the users.

    `provisioning`: with the extension, unless it is excluded. `in_no_group`: it is known that
    these users are members of none, so that nothing is looked up.
    """
    ids = [user.id for user in users]
    groups = None
    if ids and projection.has("groups"):
        groups = {id_: [] for id_ in ids} if in_no_group else groups_of_users(call.scope, ids)
    extensions: Mapping[UUID, dict[str, Any]] = {}
    if ids and _is_extended(projection, PROVISIONING_USER_SCHEMA, by_default=provisioning):
        extensions = _user_extensions(call.scope, ids, projection)
    texts = []
    for user in users:
        resource = user_resource(user, call.base_url)
        if groups is not None:
            resource["groups"] = [
                {
                    "value": str(group.id),
                    "$ref": f"{call.base_url}/Groups/{group.id}",
                    "display": group.display_name,
                    "type": "direct",
                }
                for group in groups[user.id]
            ]
        if user.id in extensions:
            _extend(resource, PROVISIONING_USER_SCHEMA, extensions[user.id])
        texts.append(json.dumps(projection.of(resource)))
    return texts


def groups_json(
    call: ScimRequest,
    groups: Sequence[Group],
    projection: Projection,
    *,
    provisioning: bool = False,
) -> list[str]:
    """Complete resources, in the order of the groups, whole rosters included.

    `provisioning`: with the extension, unless it is excluded.
    """
    ids = [group.id for group in groups]
    found: Mapping[UUID, GroupProvisioning] = {}
    details: dict[UUID, list[dict[str, Any]]] | None = None
    if ids and _is_extended(projection, PROVISIONING_GROUP_SCHEMA, by_default=provisioning):
        found = provisioning_of_groups(call.scope, ids)
        if _asks_for_detail(projection):
            details = {id_: [] for id_ in ids}
            for one in memberships_of_groups(call.scope, ids):
                details[one.group_id].append(member_detail(one))
    members: Mapping[UUID, str] | None = None
    if ids and projection.has("members"):
        members = rosters(call.scope, ids, _member_form(call.base_url, projection))
    texts = []
    for group in groups:
        resource = _group_without_members(call, group, found.get(group.id))
        if details is not None:
            resource[PROVISIONING_GROUP_SCHEMA][GROUP_DETAIL] = details[group.id]
        pieces = None if members is None else [members.get(group.id, "")]
        texts.append("".join(_pieces(projection.of(resource), pieces)))
    return texts


def group_stream(
    call: ScimRequest, group: Group, projection: Projection, *, provisioning: bool = True
) -> Iterator[str]:
    """One group of any size, piece by piece; a group of usual size is one piece.

    `provisioning`: with the extension where its members are returned, unless it is excluded; who
    reads a group without its members wants it at no cost. The statements are one roster only
    within one snapshot (`ScimRequest.snapshot`).
    """
    scope = call.scope
    extension = None
    by_default = provisioning and projection.has("members")
    if _is_extended(projection, PROVISIONING_GROUP_SCHEMA, by_default=by_default):
        extension = provisioning_of_groups(scope, [group.id]).get(group.id)
    resource = projection.of(_group_without_members(call, group, extension))
    details: Iterator[str] | None = None
    if extension is not None and _asks_for_detail(projection):
        details = _details(scope, group.id, projection)
    members: Iterator[str] | None = None
    if projection.has("members"):
        members = roster_chunks(scope, group.id, _member_form(call.base_url, projection))
    yield from _pieces(resource, members, details)


def _group_without_members(
    call: ScimRequest, group: Group, found: GroupProvisioning | None
) -> dict[str, Any]:
    resource = group_resource(group, call.base_url)
    if found is not None:
        _extend(resource, PROVISIONING_GROUP_SCHEMA, group_extension(found))
    return resource


def _extend(resource: dict[str, Any], urn: str, extension: Mapping[str, Any]) -> None:
    resource["schemas"] = [*resource["schemas"], urn]
    resource[urn] = extension


def _user_extensions(
    scope: TenantScope, ids: Sequence[UUID], projection: Projection
) -> dict[UUID, dict[str, Any]]:
    found = provisioning_of_users(scope, ids)
    extensions = {id_: user_extension(one) for id_, one in found.items()}
    if projection.asks_for(f"{PROVISIONING_USER_SCHEMA}:{USER_DETAIL}"):
        for extension in extensions.values():
            extension[USER_DETAIL] = []
        for one in memberships_of_users(scope, ids):
            extensions[one.user_id][USER_DETAIL].append(membership_detail(one))
    return extensions


def _is_extended(projection: Projection, urn: str, *, by_default: bool) -> bool:
    """Whether the extension of this URN is to be looked up."""
    return projection.has(urn) if by_default else projection.names(urn)


def _asks_for_detail(projection: Projection) -> bool:
    return projection.asks_for(f"{PROVISIONING_GROUP_SCHEMA}:{GROUP_DETAIL}")


def _details(scope: TenantScope, group_id: UUID, projection: Projection) -> Iterator[str]:
    """The members with what is in effect, as elements of a JSON array, many at a time."""
    whole = {PROVISIONING_GROUP_SCHEMA: {GROUP_DETAIL: [dict.fromkeys(DETAIL_NAMES, "")]}}
    narrow = projection.of(whole).get(PROVISIONING_GROUP_SCHEMA, {}).get(GROUP_DETAIL, [])
    names = {name for one in narrow for name in one}
    each = (member_detail(one) for one in memberships_of_groups(scope, [group_id]))
    while some := list(islice(each, _DETAILS_AT_A_TIME)):
        yield json.dumps([{k: v for k, v in one.items() if k in names} for one in some])[1:-1]


def _member_form(base_url: str, projection: Projection) -> MemberForm:
    """Which sub-attributes of members are asked for."""
    whole = {"value": "", "display": "", "$ref": "", "type": ""}
    (kept,) = projection.elements_of("members", [whole]) or [{}]
    return MemberForm(
        users_url=json.dumps(f"{base_url}/Users/")[1:-1],
        value="value" in kept,
        display="display" in kept,
        ref="$ref" in kept,
        type="type" in kept,
    )


def _pieces(
    resource: dict[str, Any],
    members: Iterable[str] | None,
    details: Iterable[str] | None = None,
) -> Iterator[str]:
    """The resource with its long lists; as one piece where each of them is one."""
    extension = resource.pop(PROVISIONING_GROUP_SCHEMA, {}) if details is not None else {}
    text = json.dumps(resource)[:-1]
    if details is not None:
        opened = json.dumps(extension)[:-1] + (", " if extension else "")
        text = f'{text}, "{PROVISIONING_GROUP_SCHEMA}": {opened}'
        text = yield from _array(text, GROUP_DETAIL, details)
        text += "}"
    if members is not None:
        text = yield from _array(text + ", ", "members", members)
    yield text + "}"


def _array(before: str, name: str, chunks: Iterable[str]) -> Generator[str, None, str]:
    """Yields all but the end of `before` and an array, and returns that end."""
    text = f'{before}"{name}": ['
    separator = ""
    for number, chunk in enumerate(chunks):
        if number:
            yield text
            text = ""
        if chunk:
            text += separator + chunk
            separator = ", "
    return text + "]"
