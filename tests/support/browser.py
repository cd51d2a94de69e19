"""A person with a browser at canaille's pages: logs in with a password and consents."""

from types import TracebackType
from typing import Self
from urllib.parse import urljoin

import httpx

PASSWORD = "correct horse battery staple"


class Browser:
    """Follows the provider's pages as a person does, with cookies of its own."""

    def __init__(self, issuer: str, user: str) -> None:
        self._issuer = issuer
        self._user = user
        self._http = httpx.Client()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def open(self, authorization_url: str) -> str:
        """Go on until the provider sends the browser elsewhere, and return where to."""
        response = self._http.get(authorization_url)
        for _ in range(12):
            if response.is_redirect:
                target = urljoin(str(response.url), response.headers["Location"])
                if not target.startswith(f"{self._issuer}/"):
                    return target
                response = self._http.get(target)
            else:
                assert response.status_code == 200, response.text
                response = self._http.post(str(response.url), data=self._form(response.url.path))
        raise AssertionError(f"the provider stays at {response.url}")

    def _form(self, path: str) -> dict[str, str]:
        if path.startswith("/login"):
            return {"login": self._user}
        if path.startswith("/auth/password"):
            return {"password": PASSWORD}
        assert path == "/oauth/authorize", f"no form is known at {path}"
        return {"answer": "accept"}
