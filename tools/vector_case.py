"""The form of one case in a file of test vectors."""

from typing import Any

Vectors = dict[str, Any]


def case(name: str, expected: str = "accept", **fields: Any) -> dict[str, Any]:
    """`expected` is `accept`, or the reason for which the case must be refused."""
    shown = {
        key: value.hex() if isinstance(value, bytes) else value for key, value in fields.items()
    }
    return {"name": name, "expected": expected, **shown}
