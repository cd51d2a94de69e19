"""Pages of a group's members, as every source gives them: one after another, by links."""

from collections.abc import Callable, Iterator

from encryption_service.membership.source import SourceUnavailableError

# A source that links on and on is at fault: this is more than any group there may hold.
MAX_PAGES = 10_000


class MemberPages(Iterator[list[str]]):
    """Stays at a page that could not be had: asked again, it goes on from there."""

    def __init__(self, read: Callable[[str], tuple[list[str], str | None]], url: str) -> None:
        """`read` gives the subjects of the page at a URL, and the URL of the next one."""
        self._read = read
        self._url: str | None = url
        self._pages = 0

    def __next__(self) -> list[str]:
        if self._url is None:
            raise StopIteration
        if self._pages >= MAX_PAGES:
            raise SourceUnavailableError(f"the source's pages do not end after {MAX_PAGES}")
        subjects, self._url = self._read(self._url)
        self._pages += 1
        return subjects
