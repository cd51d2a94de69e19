"""Limits of seals per hour, as token buckets: full at first, refilled evenly over the hour.

Stored is what was taken and not refilled yet, so that a limit that is raised has room at once.
"""

import sqlite3
from collections.abc import Iterable
from math import ceil

_HOUR_MS = 3_600_000


class Quotas:
    """Reads and writes inside the writer's transactions; what is rolled back was not taken."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def take(self, limits: Iterable[tuple[int, int | None]], wanted: int, now_ms: int) -> int:
        """Takes as many seals of the `wanted` ones as every bucket has; returns how many.

        `limits`: (bucket, seals per hour), None for no limit. Bucket 0 is that of all groups.
        """
        buckets = [
            (bucket, per_hour, self._used(bucket, per_hour, now_ms))
            for bucket, per_hour in limits
            if per_hour is not None
        ]
        # A limit that was lowered may be exceeded already.
        room = [max(0, int(per_hour - used)) for _, per_hour, used in buckets]
        taken = min([wanted, *room])
        for bucket, _, used in buckets:
            self._connection.execute(
                "INSERT OR REPLACE INTO quotas (number, used, at_ms) VALUES (?, ?, ?)",
                (bucket, used + taken, now_ms),
            )
        return taken

    def waits_ms(
        self, limits: Iterable[tuple[int, int | None]], places: Iterable[int], now_ms: int
    ) -> list[int]:
        """How long until a seal is left for whoever has this place (from 0) in the queue.

        At most an hour: by then it is worth looking again, whatever else happened.
        """
        buckets = [
            (self._used(bucket, per_hour, now_ms) - per_hour, _HOUR_MS / per_hour)
            for bucket, per_hour in limits
            if per_hour is not None
        ]
        return [
            ceil(min(_HOUR_MS, max((over + place + 1) * gap_ms for over, gap_ms in buckets)))
            for place in places
        ]

    def _used(self, bucket: int, per_hour: int, now_ms: int) -> float:
        row = self._connection.execute(
            "SELECT used, at_ms FROM quotas WHERE number = ?", (bucket,)
        ).fetchone()
        if row is None:
            return 0.0
        # A clock that was set back refills nothing, and takes nothing.
        refilled = per_hour * max(0, now_ms - int(row[1])) / _HOUR_MS
        return max(0.0, float(row[0]) - refilled)
