"""Answers of the SCIM API."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response

from scim_gateway.content_negotiation import SCIM_MEDIA_TYPE
from scim_gateway.versions import etag

LIST_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:ListResponse"


def resource_response(
    resource: Mapping[str, Any] | str, version: int | None = None, status: int = 200
) -> Response:
    """A resource, as object or as JSON text, with its ETag."""
    text = resource if isinstance(resource, str) else json.dumps(resource)
    response = Response(text, status, content_type=SCIM_MEDIA_TYPE)
    if version is not None:
        response.headers["ETag"] = etag(version)
    return response


def no_content(version: int | None = None) -> Response:
    """204; it has no body and no media type."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    if version is not None:
        response.headers["ETag"] = etag(version)
    return response


def list_response(
    resources: Sequence[str],
    total: int,
    start_index: int | None = None,
    **cursors: str | None,
) -> Response:
    """A page of resources that are JSON text; `itemsPerPage` counts those that are there.

    A page by number has `start_index`; a page by cursor has `nextCursor`, `previousCursor`, or
    both (RFC 9865 §2).
    """
    head = {"schemas": [LIST_SCHEMA], "totalResults": total, "itemsPerPage": len(resources)}
    if start_index is not None:
        head["startIndex"] = start_index
    head |= {name: cursor for name, cursor in cursors.items() if cursor is not None}
    body = f'{json.dumps(head)[:-1]}, "Resources": [{", ".join(resources)}]}}'
    return Response(body, content_type=SCIM_MEDIA_TYPE)
