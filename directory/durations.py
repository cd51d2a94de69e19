"""Durations on the command line: 90d, 24h, 30m."""

import re
from datetime import timedelta

import click

_FORM = re.compile(r"(?P<count>[0-9]{1,5})(?P<unit>[smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Duration(click.ParamType):
    """A whole number with its unit; `0` alone is nothing at all."""

    name = "duration"

    def convert(
        self,
        value: object,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> timedelta:
        """Reads it; a text that is none ends the command with a sentence (status 2)."""
        if isinstance(value, timedelta):
            return value
        if value == "0":
            return timedelta(0)
        match = _FORM.fullmatch(str(value))
        if match is None:
            self.fail(f"{value!r} is no duration: write 90d, 24h or 30m", param, ctx)
        return timedelta(**{_UNITS[match["unit"]]: int(match["count"])})
