"""How the commands print: lists for people or JSON for programs, and errors with an exit status."""

import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import wraps
from typing import Any, NoReturn, ParamSpec

import click

from encryption_service.errors import ServiceError
from groupseal.visible_text import visible

VENDORS_WORD = (
    "User names, external ids and, without a membership source, names of groups are the vendor's "
    "word; ids and fingerprints are not."
)
P = ParamSpec("P")


def fail(error: ServiceError) -> NoReturn:
    """Prints the sentence and ends with 1."""
    click.echo(f"encryption-service: {error}", err=True)
    sys.exit(1)


def reporting(run: Callable[P, None]) -> Callable[P, None]:
    """Turns a ServiceError into a message and the exit status 1."""

    @wraps(run)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            run(*args, **kwargs)
        except ServiceError as error:
            fail(error)

    return guarded


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="As a JSON object.")(command)


def print_json(found: dict[str, Any]) -> None:
    click.echo(json.dumps(found, indent=2))


def moment(time_ms: int) -> str:
    """`2025-01-31 12:00 UTC`."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def who(item: dict[str, Any]) -> str:
    """A person as the vendor calls them."""
    name = visible(item["user_name"]) or "(no user name)"
    external = visible(item.get("external_id", ""))
    return f"{name} ({external})" if external else name


def print_items(items: Sequence[Sequence[tuple[str, str]]], nothing: str) -> None:
    """Blocks of labelled lines, the first line of each at the margin."""
    for item in items:
        (first_label, first), *others = item
        click.echo(f"{first_label} {first}" if first_label else first)
        width = max((len(label) for label, _ in others), default=0)
        for label, text in others:
            click.echo(f"    {label:<{width}}  {text}")
    if not items:
        click.echo(nothing)
