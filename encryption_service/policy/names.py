"""Names of groups as a policy compares them. Pure.

Two spellings that a person reads as the same name are the same here: case, width, composed or
decomposed accents, invisible characters and runs of spaces do not count (Unicode, chapter 3.13:
compatibility caseless matching, with the default-ignorable characters left out as in
NFKC_Casefold). Letters of different scripts that merely look alike stay different.
"""

import unicodedata
from functools import lru_cache

# Default-ignorable characters that are not of category Cf, which is left out as a whole.
_IGNORABLE = frozenset(
    [0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0x180B, 0x1810)]
)
_VARIATION_SELECTORS = (range(0xFE00, 0xFE10), range(0xE0000, 0xE1000))


@lru_cache(1024)  # the same few names are compared with every pattern, again and again
def normal_form(name: str) -> str:
    """The form in which names and patterns are compared; applying it again changes nothing."""
    folded = unicodedata.normalize("NFD", _visible(name))
    # Folding may compose into something that folds once more; the form is reached after few turns.
    while (again := _fold(folded)) != folded:
        folded = again
    return folded


def _fold(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text.casefold())
    return " ".join(_visible(folded).split())


def _visible(text: str) -> str:
    return "".join(
        # A control character between two words parts them, as a line break does.
        " " if unicodedata.category(each) == "Cc" else each
        for each in text
        if not _is_ignorable(each)
    )


def _is_ignorable(character: str) -> bool:
    point = ord(character)
    return (
        unicodedata.category(character) == "Cf"
        or point in _IGNORABLE
        or any(point in block for block in _VARIATION_SELECTORS)
    )


class NamePattern:
    """A whole name with wildcards: `*` is any characters, `?` is one; nothing else is special."""

    __slots__ = ("_pattern",)

    def __init__(self, pattern: str) -> None:
        self._pattern = normal_form(pattern)

    @property
    def matches_everything(self) -> bool:
        return bool(self._pattern) and set(self._pattern) == {"*"}

    def matches(self, name: str) -> bool:
        """Takes at most pattern × name steps: a name is somebody else's to choose."""
        return _matches(self._pattern, normal_form(name))

    def __repr__(self) -> str:
        return f"NamePattern({self._pattern!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NamePattern) and other._pattern == self._pattern

    def __hash__(self) -> int:
        return hash(self._pattern)


def _matches(pattern: str, text: str) -> bool:
    """Greedy, going back to the last star alone: earlier ones never need to take more."""
    at = position = 0
    star, resume = -1, 0
    while position < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, resume = at, position
            at += 1
        elif at < len(pattern) and pattern[at] in {"?", text[position]}:
            at += 1
            position += 1
        elif star >= 0:
            resume += 1
            at, position = star + 1, resume
        else:
            return False
    return not pattern[at:].strip("*")
