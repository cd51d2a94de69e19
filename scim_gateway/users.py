"""/Users (RFC 7644 §3), but for searches."""

from uuid import UUID

from flask import Blueprint, Response, request

from directory.errors import NotFoundError
from directory.memberships import canonical_uuid
from directory.tenancy import TenantScope
from directory.users import (
    User,
    UserChange,
    create_user,
    delete_user,
    lock_user,
    read_user,
    update_user,
)
from scim_gateway.json_body import json_object
from scim_gateway.projection import Projection
from scim_gateway.representations import users_json
from scim_gateway.request_scope import ScimRequest, scim_request
from scim_gateway.responses import no_content, resource_response
from scim_gateway.user_mapping import content_from, writable
from scim_gateway.user_patch import patched, user_operations
from scim_gateway.versions import demanded_version, is_current


def register(blueprint: Blueprint) -> None:
    """Adds the routes."""
    blueprint.add_url_rule("/Users", "users_create", create, methods=["POST"])
    blueprint.add_url_rule("/Users/<user_id>", "users_read", read, methods=["GET"])
    blueprint.add_url_rule("/Users/<user_id>", "users_replace", replace, methods=["PUT"])
    blueprint.add_url_rule("/Users/<user_id>", "users_patch", patch, methods=["PATCH"])
    blueprint.add_url_rule("/Users/<user_id>", "users_delete", delete, methods=["DELETE"])


def create() -> Response:
    """Creates a user (201), or takes back the inactive one with exactly the same externalId.

    That one is answered with 200: nothing was created, and a client that looks at the status may
    tell the two apart. Location and body are the same, so that one which does not can go on.
    """
    call = scim_request()
    projection = _projection()
    content = content_from(json_object(request))

    def use_case(scope: TenantScope) -> tuple[UserChange, bool]:
        change = create_user(scope, content)
        return change, change.dirty

    change = call.change(use_case)
    user = change.user
    status = 201 if change.created else 200
    alone = change.created and not change.dirty
    (text,) = users_json(call, [user], projection, in_no_group=alone)
    response = resource_response(text, user.version, status)
    response.headers["Location"] = f"{call.base_url}/Users/{user.id}"
    return response


def read(user_id: str) -> Response:
    """One user."""
    call = scim_request()
    projection = _projection()
    user = read_user(call.scope, _id(user_id))
    if is_current(request.headers.get("If-None-Match"), user.version):
        return resource_response("", user.version, 304)
    (text,) = users_json(call, [user], projection, provisioning=True)
    return resource_response(text, user.version)


def replace(user_id: str) -> Response:
    """PUT: the whole object; what is readOnly in it is ignored."""
    call = scim_request()
    projection = _projection()
    body = json_object(request)
    version = demanded_version(request.headers.get("If-Match"))

    def use_case(scope: TenantScope) -> tuple[UserChange, bool]:
        user = lock_user(scope, _id(user_id), version=version)
        change = update_user(scope, user, content_from(body, user.content))
        return change, change.dirty

    return _changed(call, call.change(use_case).user, projection)


def patch(user_id: str) -> Response:
    """PATCH: answers 200 with the user, as Okta expects it."""
    call = scim_request()
    projection = _projection()
    operations = user_operations(json_object(request))
    version = demanded_version(request.headers.get("If-Match"))

    def use_case(scope: TenantScope) -> tuple[UserChange, bool]:
        user = lock_user(scope, _id(user_id), version=version)
        content = content_from(patched(writable(user), operations))
        change = update_user(scope, user, content)
        return change, change.dirty

    return _changed(call, call.change(use_case).user, projection)


def delete(user_id: str) -> Response:
    """DELETE: deactivates for good; unknown from then on."""
    call = scim_request()
    version = demanded_version(request.headers.get("If-Match"))

    def use_case(scope: TenantScope) -> tuple[None, bool]:
        return None, delete_user(scope, _id(user_id), version=version)

    call.change(use_case)
    return no_content()


def _changed(call: ScimRequest, user: User, projection: Projection) -> Response:
    return resource_response(_text(call, user, projection), user.version)


def _text(call: ScimRequest, user: User, projection: Projection) -> str:
    (text,) = users_json(call, [user], projection)
    return text


def _projection() -> Projection:
    """What the client wants to see; refused, if at all, before anything is changed."""
    return Projection(request.args.get("attributes"), request.args.get("excludedAttributes"))


def _id(text: str) -> UUID:
    canonical = canonical_uuid(text)
    if canonical is None:
        raise NotFoundError("there is no user with this id")
    return UUID(canonical)
