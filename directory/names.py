"""The one normal form in which names and addresses are compared."""

import unicodedata


def name_key(text: str) -> str:
    """Case-folded and in Unicode normal form C, so that lookup and uniqueness agree."""
    return folded(text.strip())


def folded(text: str) -> str:
    """The form of a part of a name: as `name_key`, but blanks at its ends are part of it."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
