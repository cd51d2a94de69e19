"""Durations on the command line: 90d, 24h, 30m."""

import re
from datetime import timedelta

import click

_FORM = re.compile(r"(?P<count>[0-9]{1,5})(?P<unit>[smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def duration(text: str) -> timedelta:
    """A whole number with its unit; `0` alone is nothing at all. Raises click.BadParameter."""
    if text == "0":
        return timedelta(0)
    match = _FORM.fullmatch(text)
    if match is None:
        raise click.BadParameter(f"{text!r} is no duration: write 90d, 24h or 30m")
    return timedelta(**{_UNITS[match["unit"]]: int(match["count"])})
