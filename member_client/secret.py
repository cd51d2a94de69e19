"""The one type in which this client holds secrets (I14)."""

from typing import NoReturn


class Secret:
    """Bytes that do not show themselves: no useful repr, no pickling, no comparison by content.

    `reveal` is the only way to the bytes, so that every use can be found by its name.
    """

    __slots__ = ("_value",)

    def __init__(self, value: bytes, length: int = 32) -> None:
        if len(value) != length:
            raise ValueError(f"a {type(self).__name__} has {length} bytes")
        self._value = value

    def reveal(self) -> bytes:
        return self._value

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is not pickled")
