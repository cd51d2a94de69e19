"""gunicorn's worker and log, telling clients and logs no more than the application does."""

import logging
import socket
import sys
from typing import Any

from gunicorn import util
from gunicorn.glogging import Logger
from gunicorn.http.errors import InvalidResponseHeader, InvalidResponseHeaderName
from gunicorn.workers.gthread import ThreadWorker

from scim_gateway.failure_log import log_failure
from scim_gateway.http_errors import as_http, refusal

_log = logging.getLogger(__name__)
# Raised for headers that the application sends: its fault, though they inherit from a client's.
_OWN_FAULTS = (InvalidResponseHeader, InvalidResponseHeaderName)


class GatewayWorker(ThreadWorker):  # type: ignore[misc] # gunicorn comes without types
    """Threads that answer what is no HTTP with SCIM errors."""

    def handle_error(
        self, req: object, client: socket.socket, addr: object, exc: Exception
    ) -> None:
        """Answers for the application, which has not seen the request or has raised."""
        del req, addr  # they hold what was sent
        status, reason, detail = refusal(RuntimeError() if isinstance(exc, _OWN_FAULTS) else exc)
        if status == 500:
            log_failure(exc)
        else:
            _log.warning("refused what is no usable HTTP: %s", type(exc).__name__)
        try:
            util.write_nonblock(client, as_http(status, reason, detail))
        except OSError:
            _log.debug("the client has gone")


class GatewayLog(Logger):  # type: ignore[misc]
    """gunicorn's log without the addresses and exception texts that it would add."""

    def exception(self, _msg: object, *_args: object, **_kwargs: Any) -> None:
        """Logs kind and place of the exception at hand."""
        error = sys.exc_info()[1]
        if error is not None:
            log_failure(error)


def before_request(_worker: object, _request: object) -> None:
    """In place of gunicorn's hook, which logs each path at level DEBUG."""
