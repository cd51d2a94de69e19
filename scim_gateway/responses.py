"""Answers of the SCIM API."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response

from scim_gateway.error_responses import SCIM_MEDIA_TYPE
from scim_gateway.errors import InvalidValueError
from scim_gateway.versions import etag

LIST_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
_ALWAYS = frozenset({"schemas", "id"})


def resource_response(
    resource: Mapping[str, Any] | str, version: int | None = None, status: int = 200
) -> Response:
    """A resource, as object or as JSON text, with its ETag."""
    text = resource if isinstance(resource, str) else json.dumps(resource)
    response = Response(text, status, content_type=SCIM_MEDIA_TYPE)
    if version is not None:
        response.headers["ETag"] = etag(version)
    return response


def created(resource: Mapping[str, Any] | str, version: int, location: str) -> Response:
    """201 with Location (RFC 7644 §3.3)."""
    response = resource_response(resource, version, 201)
    response.headers["Location"] = location
    return response


def no_content(version: int | None = None) -> Response:
    """204; it has no body and no media type."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    if version is not None:
        response.headers["ETag"] = etag(version)
    return response


def list_response(resources: Sequence[str], total: int, start_index: int) -> Response:
    """A page of resources that are JSON text; `itemsPerPage` counts those that are there."""
    head = json.dumps(
        {
            "schemas": [LIST_SCHEMA],
            "totalResults": total,
            "startIndex": start_index,
            "itemsPerPage": len(resources),
        }
    )
    body = f'{head[:-1]}, "Resources": [{", ".join(resources)}]}}'
    return Response(body, content_type=SCIM_MEDIA_TYPE)


class Projection:
    """Which top-level attributes a client asks for (RFC 7644 §3.9)."""

    def __init__(self, attributes: str | None, excluded: str | None) -> None:
        if attributes and excluded:
            raise InvalidValueError("attributes and excludedAttributes exclude each other")
        self._only = _names(attributes) | _ALWAYS if attributes else None
        self._without = _names(excluded) - _ALWAYS if excluded else frozenset()

    def has(self, name: str) -> bool:
        """Whether the attribute is to be returned."""
        name = name.lower()
        return name not in self._without and (self._only is None or name in self._only)

    def of(self, resource: Mapping[str, Any]) -> dict[str, Any]:
        """The resource with the attributes that were asked for."""
        return {name: value for name, value in resource.items() if self.has(name)}


def _names(text: str) -> frozenset[str]:
    """Lower-case names; a sub-attribute stands for its attribute, a URN for what it holds."""
    names = set()
    for name in (one.strip().lower() for one in text.split(",")):
        if name.startswith("urn:"):
            head, _, last = name.rpartition(":")
            names |= {name, head, last.split(".")[0]}
        else:
            names.add(name.split(".")[0])
    return frozenset(names)
