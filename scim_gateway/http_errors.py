"""What the HTTP server refuses before the application sees it, in the form of RFC 7644 §3.12.

gunicorn would answer HTML and log what was sent, a token in a malformed header included.
"""

from gunicorn.http import errors as http

from scim_gateway.content_negotiation import SCIM_MEDIA_TYPE
from scim_gateway.error_responses import error_text

MOST_REQUEST_LINE = 8_190
MOST_HEADERS = 100
MOST_HEADER = 8_190
# The first that fits counts.
_REFUSALS: tuple[tuple[type[Exception], int, str, str], ...] = (
    (
        http.LimitRequestLine,
        414,
        "URI Too Long",
        f"the request line is longer than {MOST_REQUEST_LINE} bytes: POST long filters to /.search",
    ),
    (
        http.LimitRequestHeaders,
        431,
        "Request Header Fields Too Large",
        f"more than {MOST_HEADERS} header lines, or one longer than {MOST_HEADER} bytes",
    ),
    (http.ExpectationFailed, 417, "Expectation Failed", "Expect may only be 100-continue"),
    (
        http.UnsupportedTransferCoding,
        501,
        "Not Implemented",
        "the only Transfer-Encoding taken is chunked",
    ),
    (http.ConfigurationProblem, 500, "Internal Server Error", "the gateway is set up wrongly"),
    (http.ParseException, 400, "Bad Request", "the request is not HTTP/1.1 (RFC 9112)"),
)
_FAULT = (500, "Internal Server Error", "an unexpected fault; the gateway's log has the details")


def refusal(error: Exception) -> tuple[int, str, str]:
    """Status, reason phrase and detail for what the server raised."""
    for kind, status, reason, detail in _REFUSALS:
        if isinstance(error, kind):
            return status, reason, detail
    return _FAULT


def as_http(status: int, reason: str, detail: str) -> bytes:
    """The whole answer, after which the connection is closed."""
    body = error_text(status, detail).encode()
    head = (
        f"HTTP/1.1 {status} {reason}\r\n"
        "Connection: close\r\n"
        f"Content-Type: {SCIM_MEDIA_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
