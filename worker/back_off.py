"""When to try again after failures: doubling, bounded, with jitter so that none march in step."""

from collections.abc import Callable
from datetime import timedelta
from secrets import SystemRandom

_FIRST_SECONDS = 1.0
_MOST_SECONDS = 60.0
_SPREAD = 0.25

_random = SystemRandom().random


def delay_after(failures: int, random: Callable[[], float] = _random) -> timedelta:
    """How long to wait after that many failures in a row (1 s, 2 s, 4 s … 60 s, each ± a quarter).

    `random` gives numbers in [0, 1).
    """
    if failures < 1:
        raise ValueError("there is nothing to wait for without a failure")
    # The exponent is bounded before it is raised: failures may count for days.
    base = min(_FIRST_SECONDS * 2 ** min(failures - 1, 16), _MOST_SECONDS)
    return timedelta(seconds=base * (1 - _SPREAD + 2 * _SPREAD * random()))
