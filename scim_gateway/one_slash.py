"""Addresses with doubled slashes, which come of a base URL that ends in one."""

import re
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_SLASHES = re.compile("/{2,}")


class OneSlash:
    """Takes `/scim/v2//Users` for `/scim/v2/Users`: few clients follow a redirect of a POST."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Hands the request on."""
        environ["PATH_INFO"] = _SLASHES.sub("/", environ.get("PATH_INFO", ""))
        return self._application(environ, start_response)
