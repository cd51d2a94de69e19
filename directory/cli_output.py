"""How the vendor's commands reach the database, print and end."""

import functools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, ParamSpec, TypeVar

import click
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError, ProgrammingError

from directory.database import make_engine
from directory.errors import DirectoryError
from directory.settings import DirectorySettings, SettingsError, load

PENDING = 1  # something is wrong or pending
REFUSED = 3
NOT_REACHABLE = 4
EXIT_CODES = """\b
Exit status: 0 all is well; 1 something is wrong or pending; 2 usage or settings;
3 refused by the protocol; 4 not reachable."""

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def settings() -> DirectorySettings:
    """The environment's settings; a bad one ends the command with a sentence (status 2)."""
    try:
        return load(DirectorySettings)
    except SettingsError as error:
        raise click.UsageError(str(error)) from None


@contextmanager
def database() -> Iterator[Engine]:
    """An engine for one command."""
    engine = make_engine(settings().database_url, application="groupseal-cli")
    try:
        yield engine
    finally:
        engine.dispose()


def reports_errors(
    command: Callable[_Parameters, _Result],
) -> Callable[_Parameters, _Result]:
    """Ends a command with one sentence and its status where the directory refuses or is away."""

    @functools.wraps(command)
    def wrapped(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        try:
            return command(*args, **kwargs)
        except DirectoryError as error:
            fail(PENDING, str(error))
        except ProgrammingError as error:
            if getattr(error.orig, "sqlstate", None) != "42P01":
                raise
            fail(PENDING, "the database has no tables yet: run `groupseal migrate`")
        except OperationalError:
            fail(NOT_REACHABLE, "the database is not reachable: check GROUPSEAL_DATABASE_URL")

    return wrapped


def fail(status: int, sentence: str) -> NoReturn:
    """Ends the command."""
    click.echo(f"Error: {sentence}", err=True)
    raise click.exceptions.Exit(status)


def print_json(value: Any) -> None:
    """One JSON value, for programs."""
    click.echo(json.dumps(value, indent=2, default=str))
