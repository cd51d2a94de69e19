"""Media types of requests and answers (RFC 7644 §3.8 and §8.1; RFC 9110 §12.5.1 and §8.4).

Answers are application/scim+json unless a client takes application/json only. Clients that name
neither but anything else, too (`text/plain, */*`), are answered all the same; so are those whose
Accept header cannot be read.
"""

from flask import Flask, Request, Response, request
from werkzeug.datastructures import MIMEAccept

from scim_gateway.errors import NotAcceptableError, UnsupportedMediaTypeError

SCIM_MEDIA_TYPE = "application/scim+json"
JSON_MEDIA_TYPE = "application/json"
MEDIA_TYPES = frozenset({SCIM_MEDIA_TYPE, JSON_MEDIA_TYPE})
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii"})
# Their answers have no body, or none that anybody reads.
_WITHOUT_BODY = frozenset({"DELETE", "HEAD", "OPTIONS"})


def register(app: Flask) -> None:
    """Gives every SCIM answer the media type that its client takes."""
    app.after_request(_present)


def check_request_media(sent: Request) -> None:
    """Raises UnsupportedMediaTypeError unless the body is JSON in UTF-8, as it is."""
    if sent.mimetype not in MEDIA_TYPES:
        raise UnsupportedMediaTypeError(
            f"send the body as {SCIM_MEDIA_TYPE} ({JSON_MEDIA_TYPE} is taken, too)"
        )
    if sent.mimetype_params.get("charset", "utf-8").lower() not in _CHARSETS:
        raise UnsupportedMediaTypeError("send the body in UTF-8 (RFC 7644 §3.8)")
    if sent.headers.get("Content-Encoding", "identity").strip().lower() not in {"", "identity"}:
        raise UnsupportedMediaTypeError(
            "send the body without a Content-Encoding: compressed bodies are not taken"
        )


def check_accept() -> None:
    """Raises NotAcceptableError if the client takes nothing that is served here."""
    if request.method not in _WITHOUT_BODY and answer_type(request.accept_mimetypes) is None:
        raise NotAcceptableError(f"answers are {SCIM_MEDIA_TYPE} or {JSON_MEDIA_TYPE} only")


def answer_type(accept: MIMEAccept) -> str | None:
    """The media type to answer with; None if the client takes neither."""
    if not any("/" in taken or taken == "*" for taken, _ in accept):
        return SCIM_MEDIA_TYPE
    for media_type in (SCIM_MEDIA_TYPE, JSON_MEDIA_TYPE):
        if _quality(accept, media_type) > 0:
            return media_type
    return None


def _quality(accept: MIMEAccept, media_type: str) -> float:
    """The weight of the most specific range that matches; parameters (charset) do not count."""
    kind = media_type.partition("/")[0]
    for wanted in (media_type, f"{kind}/*", "*/*", "*"):
        for taken, quality in accept:
            if taken.partition(";")[0].strip().lower() == wanted:
                return quality
    return 0.0


def _present(response: Response) -> Response:
    if response.mimetype == SCIM_MEDIA_TYPE:
        chosen = answer_type(request.accept_mimetypes)
        if chosen == JSON_MEDIA_TYPE:
            response.headers["Content-Type"] = JSON_MEDIA_TYPE
        response.vary.add("Accept")
    if request.method == "OPTIONS" and response.status_code == 200 and "Allow" in response.headers:
        response.status_code = 204
        del response.headers["Content-Type"]
    return response
