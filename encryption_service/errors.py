"""Errors of the encryption service. The docstring says what happened; the text names the remedy.

What a caller of the gRPC interface branches on is a `CallError` with a stable reason code;
`encryption_service.grpc_errors` turns it into a status.
"""

from groupseal.reasons import Reason


class ServiceError(Exception):
    """The service cannot do what was asked; the text says what to do about it."""


class SettingsError(ServiceError):
    """A setting is missing or not usable."""


class RootKeyError(ServiceError):
    """The root key is missing, malformed, or not the one that sealed the keyset."""


class StoreError(ServiceError):
    """The store is missing, locked by another service, or of another version."""


class SealingError(ServiceError):
    """The sealing processes do not answer."""


class CertificateError(ServiceError):
    """The server's certificate, key or authority cannot be used together."""


class CallError(ServiceError):
    """A call is refused; `reason` is the stable code that the caller gets."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(detail or reason.remedy)
        self.reason = reason


class InvalidCallError(CallError):
    """The request is malformed or names a head that this service never signed."""


class HaltedError(CallError):
    """The service stopped writing, because its store is not the newest one it signed for."""


class BusyError(CallError):
    """The service is stopping or did not finish in time; the call may be repeated."""
