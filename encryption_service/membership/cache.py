"""What the source said lately, for as long as it counts.

A yes counts for `cache_ms`; a no for `recheck_ms`, so that a grant follows soon once the source
says yes. Both count from when the answer came.
"""

import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import Enum

from encryption_service.membership.source import Clock

# A verdict that is stale before it can be looked at would be asked for again without end.
_SHORTEST_LIFE_MS = 200
_PRUNED_EVERY_MS = 60_000
_NEVER = -(1 << 62)


class Verdict(Enum):
    """What the source said about a subject in a group."""

    YES = "yes"
    NO = "no"


@dataclass(slots=True)
class _Group:
    # Single answers: verdict, and the instant of the answer. None: forgotten at that instant, so
    # that no older answer counts, the list's included.
    single: dict[str, tuple[Verdict | None, int]] = field(default_factory=dict)
    # The last whole list, for all who have no single answer: who is not in it is not in the group.
    listed: frozenset[str] = frozenset()
    listed_ms: int = _NEVER


class VerdictCache:
    """Fresh verdicts by the source's group id and subject. Thread-safe."""

    def __init__(self, clock: Clock, cache_ms: int, recheck_ms: int) -> None:
        self._clock = clock
        self._life = {
            Verdict.YES: max(cache_ms, _SHORTEST_LIFE_MS),
            Verdict.NO: max(min(recheck_ms, cache_ms), _SHORTEST_LIFE_MS),
        }
        self._lock = threading.Lock()
        self._groups: dict[str, _Group] = {}
        self._prune_at_ms = 0

    def verdicts(self, source_group_id: str, subjects: Collection[str]) -> dict[str, Verdict]:
        """Those that are fresh; one look at each subject."""
        with self._lock:
            group = self._groups.get(source_group_id)
            if group is None:
                return {}
            now = self._clock()
            yes_from, no_from = now - self._life[Verdict.YES], now - self._life[Verdict.NO]
            found: dict[str, Verdict] = {}
            for subject in subjects:
                verdict: Verdict | None
                if said := group.single.get(subject):
                    verdict, said_ms = said
                    if verdict is None:
                        continue
                else:
                    verdict = Verdict.YES if subject in group.listed else Verdict.NO
                    said_ms = group.listed_ms
                # Not from the future either: a clock that was set back makes no verdict last.
                if (yes_from if verdict is Verdict.YES else no_from) < said_ms <= now:
                    found[subject] = verdict
            return found

    def put(self, source_group_id: str, subject: str, verdict: Verdict) -> None:
        with self._lock:
            now = self._clock()
            self._prune(now)
            self._groups.setdefault(source_group_id, _Group()).single[subject] = (verdict, now)

    def forget(self, source_group_id: str, subjects: Iterable[str]) -> None:
        """Whoever was taken off is asked about afresh when added again."""
        with self._lock:
            group = self._groups.get(source_group_id)
            if group is not None:
                now = self._clock()
                group.single.update((subject, (None, now)) for subject in subjects)

    def put_list(self, source_group_id: str, subjects: Iterable[str], *, begun_ms: int) -> None:
        """Everybody who is in the group: all others are not.

        Single answers that came after the list was begun are newer than its first pages and stay.
        """
        listed = frozenset(subjects)
        with self._lock:
            now = self._clock()
            self._prune(now)
            group = self._groups.setdefault(source_group_id, _Group())
            group.single = {s: said for s, said in group.single.items() if said[1] >= begun_ms}
            group.listed, group.listed_ms = listed, now

    def _prune(self, now: int) -> None:
        """Drops what does not count any more; memory is bounded by what was asked lately."""
        if now < self._prune_at_ms:
            return
        self._prune_at_ms = now + _PRUNED_EVERY_MS
        oldest = now - max(self._life.values())
        for group_id, group in list(self._groups.items()):
            group.single = {s: v for s, v in group.single.items() if v[1] > oldest}
            if not group.single and group.listed_ms <= oldest:
                del self._groups[group_id]
