"""SIGTERM and SIGINT as something that a process can wait for."""

import os
import selectors
import signal
from time import monotonic

_NUMBERS = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Remembers that one of the signals came; to be made and asked in the main thread.

    Not an Event that a handler sets: Python runs handlers in the main thread only, which a signal
    that the kernel gives to another thread (one of gRPC's, say) does not wake, and a handler that
    finds the main thread just taking the Event's lock would wait for it for ever. The wake-up
    descriptor is written to by whichever thread is interrupted.
    """

    def __init__(self) -> None:
        self._readable, writable = os.pipe()
        os.set_blocking(self._readable, False)
        os.set_blocking(writable, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._readable, selectors.EVENT_READ)
        self._came = False
        signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
        self.install()

    def install(self) -> None:
        """Takes the signals over again from a library that took them meanwhile."""
        for number in _NUMBERS:
            signal.signal(number, lambda *_: None)

    def wait(self, seconds: float | None = None) -> bool:
        """Whether one of the signals has come, at the latest after `seconds`."""
        until = None if seconds is None else monotonic() + seconds
        while not self._came:
            remaining = None if until is None else max(0.0, until - monotonic())
            if not self._selector.select(remaining):
                return False
            numbers = os.read(self._readable, 4096)
            self._came = any(number in _NUMBERS for number in numbers)
        return True
