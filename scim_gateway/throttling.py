"""Refuses requests that come too often (RFC 6585 §4): per token, and failures per address."""

import hashlib

from flask import Flask, Response, request

from scim_gateway.error_responses import present
from scim_gateway.errors import TooManyRequestsError
from scim_gateway.failed_attempts import FailedAttempts
from scim_gateway.wiring import wiring


def limit(token: str) -> None:
    """Raises TooManyRequestsError if this token asks too often: before the database is asked."""
    rate = wiring().token_rate
    seconds = 0 if rate is None else rate.seconds_to_wait(token)
    if seconds:
        raise TooManyRequestsError(
            "this token asks more often than GROUPSEAL_GATEWAY_RATE_PER_SECOND and "
            f"GROUPSEAL_GATEWAY_RATE_BURST allow; send the request again in {seconds} s",
            retry_after=seconds,
        )


class FailureGuard:
    """Counts the failed authentications of both APIs, and answers those that are too many."""

    def __init__(self, attempts: FailedAttempts) -> None:
        self._attempts = attempts

    def register(self, app: Flask) -> None:
        """Looks at every request of the application."""
        app.before_request(self._refuse_what_failed)
        app.after_request(self._note_failure)

    def _refuse_what_failed(self) -> None:
        # A member who signs in sends a code in the body instead: that is looked up each time.
        if request.blueprint != "scim" and "Authorization" not in request.headers:
            return
        if not self._attempts.has_failed(_credentials()):
            return
        seconds = self._attempts.seconds_to_wait(request.remote_addr)
        if seconds:
            raise _too_many_failures(seconds)

    def _note_failure(self, response: Response) -> Response:
        if response.status_code != 401:
            return response
        seconds = self._attempts.seconds_to_wait(request.remote_addr)
        self._attempts.note(request.remote_addr, _credentials())
        return present(_too_many_failures(seconds)) if seconds else response


def _too_many_failures(seconds: int) -> TooManyRequestsError:
    return TooManyRequestsError(
        "too many requests from this address had no valid token "
        f"(GROUPSEAL_GATEWAY_RATE_FAILURES_PER_MINUTE); send the request again in {seconds} s",
        retry_after=seconds,
    )


def _credentials() -> bytes:
    sent = request.headers.get("Authorization", "")
    return hashlib.sha256(sent.encode("utf-8", "surrogatepass")).digest()
