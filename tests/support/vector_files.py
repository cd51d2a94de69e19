"""Test vectors, read; and what each declares to happen with it."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from encryption_service.oidc.errors import EvidenceError
from groupseal.errors import ProtocolError
from tools.make_vectors import FOLDER

Case = dict[str, Any]
# Fields that are text, and not bytes in hexadecimal digits.
NOT_HEX = {"name", "expected", "note", "value", "kind", "text"}


def cases(file: str, key: str = "cases", text: set[str] | None = None) -> list[Any]:
    """The cases of a file, each a parameter; `text`: names of more fields that are text."""
    found = json.loads((FOLDER / file).read_text())[key]
    return [
        pytest.param(_bytes(case, NOT_HEX | (text or set())), id=case["name"]) for case in found
    ]


def _bytes(case: Mapping[str, Any], not_hex: set[str]) -> Case:
    def value(name: str, shown: Any) -> Any:
        if name in not_hex or not isinstance(shown, str):
            return shown
        return bytes.fromhex(shown)

    return {name: value(name, shown) for name, shown in case.items()}


def outcome(act: Callable[[], Any], case: Case) -> Any:
    """What `act` returns; or None, where the case declares that and why it is refused."""
    if case["expected"] == "accept":
        return act()
    with pytest.raises((ProtocolError, EvidenceError)) as refused:
        act()
    error = refused.value
    assert isinstance(error, ProtocolError | EvidenceError)
    assert error.reason == case["expected"]
    return None
