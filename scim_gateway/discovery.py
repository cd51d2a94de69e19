"""What this server can do (RFC 7643 §5 to §7). Static, and no more than what is true."""

import json
from typing import Any

from flask import Blueprint, Response, request

from scim_gateway.attributes import ENTERPRISE_SCHEMA, GROUP_SCHEMA, USER_SCHEMA
from scim_gateway.errors import InvalidFilterError, NotFoundError
from scim_gateway.list_queries import MAX_COUNT
from scim_gateway.request_scope import scim_request
from scim_gateway.responses import list_response, resource_response
from scim_gateway.schemas import SCHEMAS

_CORE = "urn:ietf:params:scim:schemas:core:2.0:"


def register(blueprint: Blueprint) -> None:
    """Adds the routes."""
    blueprint.add_url_rule("/ServiceProviderConfig", view_func=service_provider_config)
    blueprint.add_url_rule("/ResourceTypes", view_func=resource_types)
    blueprint.add_url_rule("/ResourceTypes/<name>", view_func=resource_type)
    blueprint.add_url_rule("/Schemas", view_func=schemas)
    blueprint.add_url_rule("/Schemas/<urn>", view_func=schema)


def service_provider_config() -> Response:
    """RFC 7643 §5."""
    return resource_response(
        {
            "schemas": [_CORE + "ServiceProviderConfig"],
            "patch": {"supported": True},
            "bulk": {"supported": False, "maxOperations": 0, "maxPayloadSize": 0},
            "filter": {"supported": True, "maxResults": MAX_COUNT},
            "changePassword": {"supported": False},
            "sort": {"supported": False},
            "etag": {"supported": True},
            "authenticationSchemes": [
                {
                    "type": "oauthbearertoken",
                    "name": "Bearer token",
                    "description": "A token of one tenant in the Authorization header.",
                    "specUri": "https://www.rfc-editor.org/rfc/rfc6750",
                    "primary": True,
                }
            ],
            "meta": {
                "resourceType": "ServiceProviderConfig",
                "location": f"{scim_request().base_url}/ServiceProviderConfig",
            },
        }
    )


def resource_types() -> Response:
    """RFC 7643 §6."""
    return _listed(list(_resource_types().values()))


def resource_type(name: str) -> Response:
    """One of them. Raises NotFoundError."""
    return _one(_resource_types(), name)


def schemas() -> Response:
    """RFC 7643 §7."""
    return _listed([_located(urn) for urn in SCHEMAS])


def schema(urn: str) -> Response:
    """One of them. Raises NotFoundError."""
    return _one({known: _located(known) for known in SCHEMAS}, urn)


def _resource_types() -> dict[str, dict[str, Any]]:
    base_url = scim_request().base_url
    types = {"User": (USER_SCHEMA, "/Users"), "Group": (GROUP_SCHEMA, "/Groups")}
    found: dict[str, dict[str, Any]] = {
        name: {
            "schemas": [_CORE + "ResourceType"],
            "id": name,
            "name": name,
            "endpoint": endpoint,
            "schema": urn,
            "meta": {
                "resourceType": "ResourceType",
                "location": f"{base_url}/ResourceTypes/{name}",
            },
        }
        for name, (urn, endpoint) in types.items()
    }
    found["User"]["schemaExtensions"] = [{"schema": ENTERPRISE_SCHEMA, "required": False}]
    return found


def _located(urn: str) -> dict[str, Any]:
    location = f"{scim_request().base_url}/Schemas/{urn}"
    return SCHEMAS[urn] | {"meta": {"resourceType": "Schema", "location": location}}


def _listed(resources: list[dict[str, Any]]) -> Response:
    if "filter" in request.args:
        raise InvalidFilterError("there is nothing to filter here (RFC 7644 §4)")
    return list_response([json.dumps(one) for one in resources], len(resources), 1)


def _one(known: dict[str, dict[str, Any]], name: str) -> Response:
    if name not in known:
        raise NotFoundError(f"there is no {name[:100]!r} here")
    return resource_response(known[name])
