"""What holds of every answer, whatever was asked."""

import json
from collections.abc import Mapping
from typing import Any

_MESSAGES = "urn:ietf:params:scim:api:messages:2.0:"


def broken_rules(
    status: int, headers: Mapping[str, str], text: str, accept: str | None
) -> list[str]:
    """The rules that an answer breaks.

    No fault (501 says that something is not offered); a body exactly where there should be one,
    SCIM JSON without nulls, called plain JSON only where a client accepts nothing else (RFC 7644
    §8.1); errors with schema, status and detail; lists that count themselves in integers; ETag and
    Location of a resource as its `meta` has them; never a password.
    """
    found: list[str] = []
    if status >= 500 and status != 501:
        found.append("a fault")
    if status in {204, 304}:
        return [*found, "a body"] if text else found
    expected = accept if accept == "application/json" else "application/scim+json"
    if headers.get("content-type", "").split(";")[0] != expected:
        found.append(f"media type {headers.get('content-type')}")
    try:
        body = json.loads(text)
    except ValueError:
        return [*found, f"no JSON: {text[:200]!r}"]
    if _has_null(body):
        found.append("a null")
    if '"password"' in text and "urn:ietf:params:scim:schemas:core:2.0:Schema" not in text:
        found.append("a password")
    if status >= 400:
        return [*found, *_error(status, body)]
    if body.get("schemas") == [_MESSAGES + "ListResponse"]:
        return [*found, *_list(body)]
    return [*found, *_resource(status, headers, body)]


def _error(status: int, body: Mapping[str, Any]) -> list[str]:
    found = []
    if body.get("schemas") != [_MESSAGES + "Error"]:
        found.append("an error without its schema")
    if body.get("status") != str(status):
        found.append(f"status {body.get('status')!r} in an answer of {status}")
    if not isinstance(body.get("detail"), str) or not body["detail"]:
        found.append("an error without detail")
    return found


def _list(body: Mapping[str, Any]) -> list[str]:
    found = []
    if type(body.get("totalResults")) is not int:
        found.append("totalResults is no integer")
    resources = body.get("Resources", [])
    if body.get("itemsPerPage") != len(resources):
        found.append(f"itemsPerPage {body.get('itemsPerPage')} of {len(resources)}")
    if "nextCursor" not in body and type(body.get("startIndex")) is not int:
        found.append("startIndex is no integer")
    return found


def _resource(status: int, headers: Mapping[str, str], body: Mapping[str, Any]) -> list[str]:
    meta = body.get("meta", {})
    found = []
    if "version" in meta and headers.get("etag") != meta["version"]:
        found.append(f"ETag {headers.get('etag')} of version {meta['version']}")
    if status == 201 and (not headers.get("location") or headers["location"] != meta["location"]):
        found.append(f"Location {headers.get('location')} of {meta['location']}")
    if "bulkid" in str(body.get("id")).lower():
        found.append("bulkId in an id")
    return found


def _has_null(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_has_null(one) for one in value.values())
    if isinstance(value, list):
        return any(_has_null(one) for one in value)
    return value is None
