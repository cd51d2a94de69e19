"""Streams of commands: read ahead, so that many wait for one transaction; answered in order."""

import threading
from collections.abc import Callable, Iterator
from queue import Full, Queue
from typing import Generic, TypeVar

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")
_WINDOW = 512
_PUT_SECONDS = 0.5


class _End:
    """The requests are over, or ended with an error."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error


class _ReadAhead(Generic[_Response]):
    """What was accepted and waits for its answer, at most a window of it."""

    def __init__(self) -> None:
        self._waiting: Queue[Callable[[], _Response] | _End] = Queue(_WINDOW)
        self._closed = threading.Event()

    def read(
        self,
        requests: Iterator[_Request],
        accept: Callable[[_Request], Callable[[], _Response] | None],
        finish: Callable[[], None],
    ) -> None:
        """Runs in a thread of its own until the requests end or the call does."""
        try:
            for request in requests:
                if self._closed.is_set():
                    return
                if (answer := accept(request)) is not None:
                    self._put(answer)
            finish()
        except Exception as error:  # noqa: BLE001 # raised again where the call is answered
            self._put(_End(error))
        else:
            self._put(_End())

    def answers(self) -> Iterator[_Response]:
        """The answers in order. Raises what `accept` or `finish` raised."""
        try:
            while True:
                item = self._waiting.get()
                if isinstance(item, _End):
                    if item.error is not None:
                        raise item.error
                    return
                yield item()
        finally:
            self._closed.set()

    def _put(self, item: Callable[[], _Response] | _End) -> None:
        while not self._closed.is_set():
            try:
                self._waiting.put(item, timeout=_PUT_SECONDS)
            except Full:
                continue
            return


def answer_in_order(
    requests: Iterator[_Request],
    accept: Callable[[_Request], Callable[[], _Response] | None],
    finish: Callable[[], None],
) -> Iterator[_Response]:
    """Accepts requests as they come and yields each answer when it is there.

    `accept` starts what a request asks for and returns what waits for its answer, or None where
    there is none; `finish` is called after the last request. Errors of both end the stream after
    the answers before them.
    """
    ahead: _ReadAhead[_Response] = _ReadAhead()
    arguments = (requests, accept, finish)
    threading.Thread(target=ahead.read, args=arguments, name="read-ahead", daemon=True).start()
    return ahead.answers()
