"""The one check of access that all Python peers share: a bearer token, as ours asks for one."""

import hmac
import os

_EXPECTED = f"Bearer {os.environ['PEER_TOKEN']}"


def is_allowed(authorization: str | None) -> bool:
    """Whether the header carries the token of this run."""
    return hmac.compare_digest(_EXPECTED, authorization or "")
