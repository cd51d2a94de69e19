"""/Users (RFC 7644 §3)."""

import json
from uuid import UUID

from flask import Blueprint, Response, request

from directory.errors import NotFoundError
from directory.listings import list_users
from directory.memberships import canonical_uuid
from directory.tenancy import TenantScope
from directory.users import UserChange, create_user, delete_user, lock_user, read_user, update_user
from scim_gateway.json_body import json_object
from scim_gateway.list_queries import page_from, user_criteria
from scim_gateway.request_scope import scim_request
from scim_gateway.responses import (
    Projection,
    created,
    list_response,
    no_content,
    resource_response,
)
from scim_gateway.user_mapping import content_from, user_resource, writable
from scim_gateway.user_patch import patched, user_operations
from scim_gateway.versions import demanded_version, is_current


def register(blueprint: Blueprint) -> None:
    """Adds the routes."""
    blueprint.add_url_rule("/Users", "users_create", create, methods=["POST"])
    blueprint.add_url_rule("/Users", "users_find", find, methods=["GET"])
    blueprint.add_url_rule("/Users/<user_id>", "users_read", read, methods=["GET"])
    blueprint.add_url_rule("/Users/<user_id>", "users_replace", replace, methods=["PUT"])
    blueprint.add_url_rule("/Users/<user_id>", "users_patch", patch, methods=["PATCH"])
    blueprint.add_url_rule("/Users/<user_id>", "users_delete", delete, methods=["DELETE"])


def create() -> Response:
    """Creates a user, or takes back the inactive one with the same externalId (200)."""
    call = scim_request()
    content = content_from(json_object(request))

    def use_case(scope: TenantScope) -> tuple[UserChange, bool]:
        change = create_user(scope, content)
        return change, change.dirty

    user = call.change(use_case).user
    resource = user_resource(user, call.base_url)
    return created(resource, user.version, resource["meta"]["location"])


def find() -> Response:
    """A page of users."""
    call = scim_request()
    projection = _projection()
    page = page_from(request.args)
    users, total = list_users(call.scope, user_criteria(request.args.get("filter")), page)
    resources = [json.dumps(projection.of(user_resource(one, call.base_url))) for one in users]
    return list_response(resources, total, page.offset + 1)


def read(user_id: str) -> Response:
    """One user."""
    call = scim_request()
    user = read_user(call.scope, _id(user_id))
    if is_current(request.headers.get("If-None-Match"), user.version):
        return resource_response("", user.version, 304)
    return resource_response(_projection().of(user_resource(user, call.base_url)), user.version)


def replace(user_id: str) -> Response:
    """PUT: the whole object; what is readOnly in it is ignored."""
    call = scim_request()
    body = json_object(request)
    version = demanded_version(request.headers.get("If-Match"))

    def use_case(scope: TenantScope) -> tuple[UserChange, bool]:
        user = lock_user(scope, _id(user_id), version=version)
        change = update_user(scope, user, content_from(body, user.content))
        return change, change.dirty

    return _changed(call.change(use_case), call.base_url)


def patch(user_id: str) -> Response:
    """PATCH: answers 200 with the user, as Okta expects it."""
    call = scim_request()
    operations = user_operations(json_object(request))
    version = demanded_version(request.headers.get("If-Match"))

    def use_case(scope: TenantScope) -> tuple[UserChange, bool]:
        user = lock_user(scope, _id(user_id), version=version)
        content = content_from(patched(writable(user), operations))
        change = update_user(scope, user, content)
        return change, change.dirty

    return _changed(call.change(use_case), call.base_url)


def delete(user_id: str) -> Response:
    """DELETE: deactivates for good; unknown from then on."""
    call = scim_request()
    version = demanded_version(request.headers.get("If-Match"))

    def use_case(scope: TenantScope) -> tuple[None, bool]:
        return None, delete_user(scope, _id(user_id), version=version)

    call.change(use_case)
    return no_content()


def _changed(change: UserChange, base_url: str) -> Response:
    user = change.user
    return resource_response(_projection().of(user_resource(user, base_url)), user.version)


def _projection() -> Projection:
    return Projection(request.args.get("attributes"), request.args.get("excludedAttributes"))


def _id(text: str) -> UUID:
    canonical = canonical_uuid(text)
    if canonical is None:
        raise NotFoundError("there is no user with this id")
    return UUID(canonical)
