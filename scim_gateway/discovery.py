"""What this server can do (RFC 7643 §5 to §7). Made once, and no more than what is true.

Only the server's address differs between requests: it is put into texts that are made already.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from flask import Blueprint, Response, request
from scim2_models import (
    AuthenticationScheme,
    Bulk,
    ChangePassword,
    ETag,
    External,
    Filter,
    Pagination,
    Patch,
    Reference,
    ServiceProviderConfig,
    Sort,
)

from scim_gateway.attributes import (
    ENTERPRISE_SCHEMA,
    GROUP_SCHEMA,
    PROVISIONING_GROUP_SCHEMA,
    PROVISIONING_USER_SCHEMA,
    USER_SCHEMA,
)
from scim_gateway.cursors import CURSOR_SECONDS
from scim_gateway.errors import ForbiddenError, NotFoundError
from scim_gateway.request_scope import scim_request
from scim_gateway.responses import list_response, resource_response
from scim_gateway.schemas import SCHEMAS
from scim_gateway.search_query import DEFAULT_COUNT, MAX_COUNT

# Stands for the address of the SCIM API in texts made beforehand; no text of ours has it otherwise.
_BASE = "{base}"


def register(blueprint: Blueprint) -> None:
    """Adds the routes."""
    blueprint.add_url_rule("/ServiceProviderConfig", view_func=service_provider_config)
    blueprint.add_url_rule("/ResourceTypes", view_func=resource_types)
    blueprint.add_url_rule("/ResourceTypes/<name>", view_func=resource_type)
    blueprint.add_url_rule("/Schemas", view_func=schemas)
    blueprint.add_url_rule("/Schemas/<urn>", view_func=schema)


def service_provider_config() -> Response:
    """RFC 7643 §5, with the paging of RFC 9865 §4."""
    return resource_response(_with_base(_CONFIG))


def resource_types() -> Response:
    """RFC 7643 §6."""
    return _listed(_RESOURCE_TYPES)


def resource_type(name: str) -> Response:
    """One of them. Raises NotFoundError."""
    return _one(_RESOURCE_TYPES, name)


def schemas() -> Response:
    """RFC 7643 §7."""
    return _listed(_SCHEMAS)


def schema(urn: str) -> Response:
    """One of them. Raises NotFoundError."""
    return _one(_SCHEMAS, urn)


def _config() -> str:
    config = ServiceProviderConfig(
        patch=Patch(supported=True),
        bulk=Bulk(supported=False, max_operations=0, max_payload_size=0),
        filter=Filter(supported=True, max_results=MAX_COUNT),
        change_password=ChangePassword(supported=False),
        sort=Sort(supported=True),
        etag=ETag(supported=True),
        pagination=Pagination(
            cursor=True,
            index=True,
            default_pagination_method=Pagination.DefaultPaginationMethod.index,
            default_page_size=DEFAULT_COUNT,
            max_page_size=MAX_COUNT,
            cursor_timeout=CURSOR_SECONDS,
        ),
        authentication_schemes=[
            AuthenticationScheme(
                type=AuthenticationScheme.Type.oauthbearertoken,
                name="Bearer token",
                description="A token of one tenant in the Authorization header.",
                spec_uri=Reference[External]("https://www.rfc-editor.org/rfc/rfc6750"),
                primary=True,
            )
        ],
    )
    return _text(config.model_dump(), "ServiceProviderConfig", "ServiceProviderConfig")


def _resource_type(name: str, description: str, schema: str, extensions: Iterable[str]) -> str:
    document = {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "id": name,
        "name": name,
        "description": description,
        "endpoint": f"/{name}s",
        "schema": schema,
        "schemaExtensions": [{"schema": urn, "required": False} for urn in extensions],
    }
    return _text(document, "ResourceType", f"ResourceTypes/{name}")


def _text(document: Mapping[str, Any], resource_type: str, path: str) -> str:
    meta = {"resourceType": resource_type, "location": f"{_BASE}/{path}"}
    return json.dumps({**document, "meta": meta})


def _with_base(text: str) -> str:
    return text.replace(_BASE, json.dumps(scim_request().base_url)[1:-1])


def _listed(texts: Mapping[str, str]) -> Response:
    if "filter" in request.args:
        raise ForbiddenError("there is nothing to filter here (RFC 7644 §4): leave the filter out")
    return list_response([_with_base(text) for text in texts.values()], len(texts), 1)


def _one(texts: Mapping[str, str], name: str) -> Response:
    wanted = name.lower()  # schema URNs are compared without case (RFC 7643 §2.1)
    for known, text in texts.items():
        if known.lower() == wanted:
            return resource_response(_with_base(text))
    raise NotFoundError(f"there is no {name[:100]!r} here: ask for one of the list")


_CONFIG = _config()
_RESOURCE_TYPES = {
    "User": _resource_type(
        "User",
        "A person of the tenant",
        USER_SCHEMA,
        (ENTERPRISE_SCHEMA, PROVISIONING_USER_SCHEMA),
    ),
    "Group": _resource_type(
        "Group", "A group whose members share a key", GROUP_SCHEMA, (PROVISIONING_GROUP_SCHEMA,)
    ),
}
_SCHEMAS = {urn: _text(document, "Schema", f"Schemas/{urn}") for urn, document in SCHEMAS.items()}
