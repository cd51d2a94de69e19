"""/Groups (RFC 7644 §3). What a request costs depends on what it changes, not on the group."""

from uuid import UUID

from flask import Blueprint, Response, request

from directory import group_push
from directory.errors import NotFoundError
from directory.group_push import Push, Pushed
from directory.groups import Group, read_group
from directory.memberships import canonical_uuid
from directory.tenancy import TenantScope
from scim_gateway.group_mapping import push_from
from scim_gateway.group_patch import push_from_patch
from scim_gateway.json_body import json_object
from scim_gateway.patch_operations import parse_operations
from scim_gateway.projection import Projection
from scim_gateway.representations import group_stream
from scim_gateway.request_scope import ScimRequest, scim_request
from scim_gateway.responses import no_content, resource_response
from scim_gateway.streaming import streamed_response
from scim_gateway.versions import demanded_version, is_current


def register(blueprint: Blueprint) -> None:
    """Adds the routes."""
    blueprint.add_url_rule("/Groups", "groups_create", create, methods=["POST"])
    blueprint.add_url_rule("/Groups/<group_id>", "groups_read", read, methods=["GET"])
    blueprint.add_url_rule("/Groups/<group_id>", "groups_replace", replace, methods=["PUT"])
    blueprint.add_url_rule("/Groups/<group_id>", "groups_patch", patch, methods=["PATCH"])
    blueprint.add_url_rule("/Groups/<group_id>", "groups_delete", delete, methods=["DELETE"])


def create() -> Response:
    """Creates a group with its first members."""
    call = scim_request()
    projection = _projection()
    push = push_from(json_object(request), whole=False)

    def use_case(scope: TenantScope) -> tuple[Group, bool]:
        return group_push.create(scope, push), True

    group = call.change(use_case)
    call.snapshot()
    response = streamed_response(
        call, group_stream(call, group, projection, provisioning=False), group.version, 201
    )
    response.headers["Location"] = f"{call.base_url}/Groups/{group.id}"
    return response


def read(group_id: str) -> Response:
    """One group, with the provisioning extension."""
    call = scim_request()
    projection = _projection()
    call.snapshot()
    group = read_group(call.scope, _id(group_id))
    if is_current(request.headers.get("If-None-Match"), group.version):
        return resource_response("", group.version, 304)
    return streamed_response(call, group_stream(call, group, projection), group.version)


def replace(group_id: str) -> Response:
    """PUT: the whole list of members, of any size; only rows that differ are touched."""
    call = scim_request()
    projection = _projection()
    _change(call, _id(group_id), push_from(json_object(request), whole=True))
    return _after_change(call, _id(group_id), projection)


def patch(group_id: str) -> Response:
    """PATCH: 204, whatever the size of the group.

    With `attributes` the answer has to be 200 and what it names (RFC 7644 §3.5.2).
    """
    call = scim_request()
    projection = _projection()
    push = push_from_patch(parse_operations(json_object(request)))
    pushed = _change(call, _id(group_id), push)
    if request.args.get("attributes"):
        return _after_change(call, _id(group_id), projection)
    return no_content(pushed.version)


def delete(group_id: str) -> Response:
    """DELETE: ends every membership."""
    call = scim_request()
    version = demanded_version(request.headers.get("If-Match"))

    def use_case(scope: TenantScope) -> tuple[None, bool]:
        group_push.delete(scope, _id(group_id), version=version)
        return None, True

    call.change(use_case)
    return no_content()


def _change(call: ScimRequest, group_id: UUID, push: Push) -> Pushed:
    version = demanded_version(request.headers.get("If-Match"))

    def use_case(scope: TenantScope) -> tuple[Pushed, bool]:
        pushed = group_push.change(scope, group_id, push, version=version)
        return pushed, pushed.changed

    return call.change(use_case)


def _after_change(call: ScimRequest, group_id: UUID, projection: Projection) -> Response:
    """The group as it is now."""
    call.snapshot()
    group = read_group(call.scope, group_id)
    return streamed_response(
        call, group_stream(call, group, projection, provisioning=False), group.version
    )


def _projection() -> Projection:
    return Projection(request.args.get("attributes"), request.args.get("excludedAttributes"))


def _id(text: str) -> UUID:
    canonical = canonical_uuid(text)
    if canonical is None:
        raise NotFoundError("there is no group with this id")
    return UUID(canonical)
