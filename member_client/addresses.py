"""Web addresses: which ones this client sends anything to."""

from urllib.parse import SplitResult, urlsplit

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def is_loopback(host: str | None) -> bool:
    """Whether a host name means this machine."""
    return host in _LOOPBACK


def secure_address(text: str) -> SplitResult | None:
    """An https address, or http to this machine; None for everything else.

    User names, fragments and anything that is not ASCII have no place in one.
    """
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return None
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        return None
    plain = text.isascii() and text.isprintable() and " " not in text
    if not plain or not parts.hostname or "@" in parts.netloc or parts.fragment:
        return None
    return parts
