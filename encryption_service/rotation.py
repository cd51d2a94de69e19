"""When an epoch is kept, replaced at once, or closed first. Pure: numbers in, a decision out."""

from enum import Enum
from math import ceil

# Up to so many grants, closing and opening are one entry.
SMALL_GROUP = 64
# I5: while removals keep coming, the next opening waits up to so many times what the last took.
_DELAY_FACTOR = 10
# An opening that took less than this is never worth waiting for.
_CHEAP_OPENING_MS = 20


class Decision(Enum):
    """What a change of a roster does to the epoch."""

    KEEP = "keep"
    # Close the old epoch and open the next in one entry.
    ROTATE = "rotate"
    # Close the old epoch in an entry of its own; the next one opens when it is due.
    CLOSE = "close"


def decide(*, loses_a_grant: bool, remaining_keys: int) -> Decision:
    """`loses_a_grant`: someone who leaves holds the epoch's secret."""
    if not loses_a_grant:
        return Decision.KEEP
    return Decision.ROTATE if remaining_keys <= SMALL_GROUP else Decision.CLOSE


def opening_due_ms(
    *, took_ms: int, ended_ms: int, remaining_keys: int, longest_delay_ms: int
) -> int:
    """When the next epoch may open, given how long the last opening took and when it ended."""
    if remaining_keys <= SMALL_GROUP or took_ms < _CHEAP_OPENING_MS:
        return ended_ms
    return ended_ms + min(_DELAY_FACTOR * took_ms, longest_delay_ms)


class Pace:
    """How often an epoch may open because a key was unbound: so many a second, evenly."""

    def __init__(self, per_second: float) -> None:
        self._gap_ms = 1000 / per_second
        self._next_ms = 0.0
        self._turns: dict[bytes, float] = {}

    def take(self, group: bytes, now_ms: int) -> int:
        """0: now; else how many milliseconds until the group's turn, which is kept for it.

        A turn for each, so that a thousand groups that wait do not all come for each of them.
        """
        # A clock that was set back must not keep epochs closed.
        if self._next_ms > now_ms + self._gap_ms * (len(self._turns) + 1):
            self._turns.clear()
            self._next_ms = 0.0
        turn = self._turns.pop(group, None)
        if turn is None:
            turn = max(self._next_ms, now_ms)
            self._next_ms = turn + self._gap_ms
        if turn <= now_ms:
            return 0
        self._turns[group] = turn
        return max(1, ceil(turn - now_ms))
