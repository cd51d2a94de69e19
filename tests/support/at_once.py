"""Several calls at the same moment."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

_DEADLINE = 20


def at_once(*calls: Callable[[], object]) -> list[object]:
    """Runs the calls in threads that start together; returns their results in order."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> object:
        barrier.wait(_DEADLINE)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(_DEADLINE) for future in [pool.submit(run, one) for one in calls]]
