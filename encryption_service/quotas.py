"""Limits of seals per hour, as token buckets: full at first, refilled evenly over the hour."""

import sqlite3
from collections.abc import Iterable

_HOUR_MS = 3_600_000


class Quotas:
    """Reads and writes inside the writer's transactions; what is rolled back was not taken."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def take(self, limits: Iterable[tuple[int, int | None]], wanted: int, now_ms: int) -> int:
        """Takes as many seals of the `wanted` ones as every bucket has; returns how many.

        `limits`: (bucket, seals per hour), None for no limit. Bucket 0 is that of all groups.
        """
        levels = [
            (bucket, self._level(bucket, per_hour, now_ms))
            for bucket, per_hour in limits
            if per_hour is not None
        ]
        taken = min([wanted, *(int(level) for _, level in levels)])
        for bucket, level in levels:
            self._connection.execute(
                "INSERT OR REPLACE INTO quotas (number, level, at_ms) VALUES (?, ?, ?)",
                (bucket, level - taken, now_ms),
            )
        return taken

    def _level(self, bucket: int, per_hour: int, now_ms: int) -> float:
        row = self._connection.execute(
            "SELECT level, at_ms FROM quotas WHERE number = ?", (bucket,)
        ).fetchone()
        if row is None:
            return float(per_hour)
        # A clock that was set back refills nothing, and takes nothing.
        refilled = row[0] + per_hour * max(0, now_ms - row[1]) / _HOUR_MS
        return float(min(refilled, per_hour))
