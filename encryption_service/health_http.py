"""Plain HTTP for probes: /livez and /readyz, and nothing else."""

from collections.abc import Callable

from encryption_service.plain_http import Page, PlainHttpServer


class HealthServer(PlainHttpServer):
    """Answers from the first moment; ready once the service accepts calls."""

    def __init__(self, address: str, alive: Callable[[], bool], ready: Callable[[], bool]) -> None:
        """Raises SettingsError."""
        pages = {"/livez": lambda: _answer(alive()), "/readyz": lambda: _answer(ready())}
        super().__init__(address, "GROUPSEAL_SERVICE_HEALTH_LISTEN", pages)


def _answer(yes: bool) -> Page:  # the one thing it is about
    return Page(200, b"ok\n") if yes else Page(503, b"no\n")
