"""Answers that are longer than this process should hold at once."""

from collections.abc import Callable, Iterator

from flask import Response

from scim_gateway.content_negotiation import SCIM_MEDIA_TYPE
from scim_gateway.request_scope import ScimRequest
from scim_gateway.versions import etag


def streamed_response(
    call: ScimRequest, pieces: Iterator[str], version: int, status: int = 200
) -> Response:
    """A resource that comes in pieces; one of a single piece is an ordinary answer.

    The first pieces are made before the answer begins, so that what goes wrong there is an
    ordinary error. After that, the request's unit of work stays open until the last piece is sent
    or the client has gone: in both cases the server closes the response.
    """
    first, second = next(pieces), next(pieces, None)
    response = Response(status=status, content_type=SCIM_MEDIA_TYPE)
    response.headers["ETag"] = etag(version)
    if second is None:
        response.set_data(first)
    else:
        response.response = _all(first, second, pieces, call.outlive_request(response))
    return response


def _all(first: str, second: str, rest: Iterator[str], close: Callable[[], None]) -> Iterator[str]:
    try:
        yield first
        yield second
        yield from rest
    finally:
        close()
