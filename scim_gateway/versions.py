"""Pure: versions as weak ETags (RFC 7644 §3.14), and the conditions that name them."""

import re

from scim_gateway.errors import PreconditionFailedError

_ETAG = re.compile(r'(?:W/)?"(?P<version>[0-9]{1,18})"', re.ASCII)


def etag(version: int) -> str:
    """W/"7" for version 7."""
    return f'W/"{version}"'


def demanded_version(if_match: str | None) -> int | None:
    """The version that If-Match demands; None if it demands none.

    Raises PreconditionFailedError for anything that is no ETag of ours.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    match = _ETAG.fullmatch(if_match.strip())
    if match is None:
        raise PreconditionFailedError("If-Match names no version of this resource")
    return int(match["version"])


def is_current(if_none_match: str | None, version: int) -> bool:
    """Whether a client that sends If-None-Match holds this version already.

    Compared weakly (RFC 9110 §13.1.2); `*` is any version.
    """
    if if_none_match is None:
        return False
    held = {one.strip().removeprefix("W/") for one in if_none_match.split(",")}
    return "*" in held or f'"{version}"' in held
