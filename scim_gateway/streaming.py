"""Answers that are longer than this process should hold at once."""

from collections.abc import Iterator

from flask import Response, stream_with_context

from scim_gateway.content_negotiation import SCIM_MEDIA_TYPE
from scim_gateway.versions import etag


def streamed_response(pieces: Iterator[str], version: int, status: int = 200) -> Response:
    """A resource that comes in pieces; one of a single piece is an ordinary answer.

    The first pieces are made before the answer begins, so that what goes wrong there is an
    ordinary error. After that, the request's unit of work stays open until the last piece is sent
    or the client has gone: in both cases the server closes the iterator, which ends the request.
    """
    first, second = next(pieces), next(pieces, None)
    body = first if second is None else stream_with_context(_all(first, second, pieces))
    response = Response(body, status, content_type=SCIM_MEDIA_TYPE)
    response.headers["ETag"] = etag(version)
    return response


def _all(first: str, second: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield second
    yield from rest
