"""The one normal form in which names and addresses are compared."""

import unicodedata


def name_key(text: str) -> str:
    """Case-folded and in Unicode normal form C, so that lookup and uniqueness agree."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text.strip()).casefold())
