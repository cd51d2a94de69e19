"""Scenarios as they are written in the files beside: what a client sends, what it must get.

A scenario is a YAML file. Its requests are those that a product's documentation shows, or that
others recorded, with values of its own; `forms` says which.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Expectation:
    """Parts of the answer. What is not named here is free, but for the rules of every answer."""

    status: int
    headers: Mapping[str, str | None] = field(default_factory=dict)  # None: not there
    body: Any = None
    empty: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One request and its answer."""

    does: str
    request: str  # GET /Users
    expect: Expectation
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str | None] = field(default_factory=dict)  # None: not sent
    body: Any = None
    text: str | None = None  # a body that is no JSON
    remember: Mapping[str, str] = field(default_factory=dict)  # name: place in the answer
    wanted: Mapping[str, Any] = field(default_factory=dict)  # group: who shall hold its key
    unchanged: bool = False  # nothing in the database is another than before


@dataclass(frozen=True, slots=True)
class Scenario:
    """What one client does, step by step, on a tenant of its own."""

    name: str
    title: str
    forms: str
    headers: Mapping[str, str]
    content_type: str
    steps: tuple[Step, ...]
    users: Mapping[str, int] = field(default_factory=dict)  # name of the list: how many


def scenario_names() -> list[str]:
    """Every scenario: folder/file without the ending."""
    files = sorted(FOLDER.glob("*/*.yaml"))
    return [str(file.relative_to(FOLDER).with_suffix("")) for file in files]


def load_scenario(name: str) -> Scenario:
    """Reads one. Raises ValueError for a key that is not known: a typo must not test nothing."""
    content = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    steps = tuple(_step(one) for one in content.pop("steps"))
    return Scenario(name=name, steps=steps, **_known(content, Scenario))


def _step(content: dict[str, Any]) -> Step:
    expect = Expectation(**_known(content.pop("expect"), Expectation))
    return Step(expect=expect, **_known(content, Step))


def _known(content: dict[str, Any], kind: type[Any]) -> dict[str, Any]:
    unknown = content.keys() - {one.name for one in fields(kind)}
    if unknown:
        raise ValueError(f"{kind.__name__} knows no {sorted(unknown)}")
    return content
