"""From a question to verdicts: find the group, ask about a few one by one, about many at once."""

from collections.abc import Callable

from encryption_service.membership.cache import Verdict, VerdictCache
from encryption_service.membership.events import MembershipEvents
from encryption_service.membership.questions import Listing, Question
from encryption_service.membership.source import (
    Clock,
    MembershipSource,
    SourceGroup,
    SourceGroupMissingError,
    StoppingError,
)
from groupseal.reasons import Reason

# Up to here each subject is asked about (two requests at Okta); beyond, the group is read whole.
FEW = 10
# A listing that took longer, because limits interrupted it, is begun again.
_LISTING_LIFE_MS = 15 * 60_000


class Answerer:
    """Asks the source and fills the cache. Raises what the source raises, and StoppingError."""

    def __init__(
        self,
        source: MembershipSource,
        events: MembershipEvents,
        *,
        cache: VerdictCache,
        clock: Clock,
        stopping: Callable[[], bool],
    ) -> None:
        self._source, self._events, self._cache = source, events, cache
        self._clock, self._stopping = clock, stopping

    def answer(self, question: Question) -> Reason | None:
        """None: every subject has a verdict. Otherwise why the group cannot be found.

        May be called again with the same question after an error: it goes on where it was.
        """
        if question.source_group_id is None or question.look_up:
            found = self._find(question)
            if isinstance(found, Reason):
                self._events.group_not_found(question.group, found)
                return found
            self._events.group_found(question.group, found)
            question.source_group_id, question.look_up = found.id, False
        try:
            self._decide(question, question.source_group_id)
        except SourceGroupMissingError:
            question.listing, question.look_up = None, True
            self._events.group_not_found(question.group, Reason.GROUP_NOT_AT_SOURCE)
            return Reason.GROUP_NOT_AT_SOURCE
        self._events.answered(question.group)
        return None

    def _find(self, question: Question) -> SourceGroup | Reason:
        """By its id, or else by its exact name."""
        if question.source_group_id is not None:
            return self._source.group(question.source_group_id) or Reason.GROUP_NOT_AT_SOURCE
        if not question.group_name:
            return Reason.GROUP_NOT_AT_SOURCE
        match self._source.find_groups(question.group_name):
            case [found]:
                return found
            case []:
                return Reason.GROUP_NOT_AT_SOURCE
            case _:
                return Reason.GROUP_AMBIGUOUS

    def _decide(self, question: Question, group_id: str) -> None:
        known = self._cache.verdicts(group_id, question.subjects)
        open_ones = question.subjects - known.keys()
        if len(open_ones) > FEW or question.listing is not None:
            self._list(question, group_id)
            return
        somebody_is_in = False
        for subject in sorted(open_ones):
            self._go_on()
            somebody_is_in |= self._check(group_id, subject)
        if open_ones and not somebody_is_in and self._source.group(group_id) is None:
            raise SourceGroupMissingError("nobody is in a group that is not there")

    def _go_on(self) -> None:
        if self._stopping():
            raise StoppingError

    def _check(self, group_id: str, subject: str) -> bool:
        is_member = self._source.is_member(group_id, subject)
        self._cache.put(group_id, subject, Verdict.YES if is_member else Verdict.NO)
        return is_member

    def _list(self, question: Question, group_id: str) -> None:
        listing = question.listing
        now = self._clock()
        if (
            listing is None
            or listing.source_group_id != group_id
            or now > listing.begun_ms + _LISTING_LIFE_MS
        ):
            listing = Listing(group_id, now, self._source.members(group_id))
            question.listing = listing
        for page in listing.pages:
            self._go_on()
            listing.subjects.update(page)
        question.listing = None
        self._cache.put_list(group_id, listing.subjects, begun_ms=listing.begun_ms)
