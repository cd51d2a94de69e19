"""Waiting for a condition, with a deadline and a reason when it does not come true."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(condition: Callable[[], T | None], within: float, what: str, every: float = 0.05) -> T:
    """Return the condition's first true value; fail with `what` and the last value otherwise."""
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not come true within {within} s: {value!r}"
        threading.Event().wait(every)
