"""Errors of the member's client that are not the protocol's (see `groupseal.errors`).

Each message says what is wrong and what to do. None holds a secret.
"""

from groupseal.errors import ProofError, ProtocolError
from groupseal.reasons import Reason


class ClientError(Exception):
    """Something that a member, not the server's bytes, has to put right."""

    reason: str = "client"


class HomeError(ClientError):
    """The client's folder is not usable: missing files, wrong owner or permissions, damage."""

    reason = "home"


class NotEnrolledError(HomeError):
    """This folder belongs to no member yet."""

    reason = "not_enrolled"


class UsageError(ClientError):
    """What was asked for cannot be done as it was asked."""

    reason = "usage"


class WaitingError(ClientError):
    """Nothing is wrong, but what was asked for is not there yet."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class NotGrantedError(WaitingError):
    """The group's key was not sealed to this device, or is no longer served to it."""


class UnreachableError(ClientError):
    """The server gave no answer, or none that a member API gives."""

    reason = "unreachable"


class RefusedError(ClientError):
    """The server refused a request that this client may not repeat as it is."""

    def __init__(self, reason: str, detail: str, status: int) -> None:
        super().__init__(detail)
        self.reason = reason
        self.status = status


class SignInError(ClientError):
    """The identity provider refused the sign-in, or what it gave is not usable."""

    reason = "sign_in"


class PinError(ProtocolError):
    """The organisation's key is not the one that the member expects."""

    reason = Reason.WRONG_ORGANISATION


class PlantedKeyError(ProofError):
    """An opened secret yields another public key than the ledger has for that epoch."""
