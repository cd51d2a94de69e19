"""Errors of the worker. Each carries the reason code that operators are shown."""

from groupseal.reasons import Reason


class WorkerError(Exception):
    """Something that an operator of the worker can set right; the text says how."""


class AuthorityError(WorkerError):
    """The vendor's authority or a tenant's client certificate is missing or unusable."""


class PairingError(WorkerError):
    """A tenant is not connected: what was given does not fit; the text says what."""


class ServiceError(Exception):
    """A call to a tenant's encryption service did not come to its end."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class ServiceUnavailableError(ServiceError):
    """The service cannot be reached."""

    def __init__(self, text: str) -> None:
        super().__init__(Reason.SERVICE_UNAVAILABLE, text)


class ServiceTimeoutError(ServiceError):
    """The service did not answer in time."""

    def __init__(self, text: str) -> None:
        super().__init__(Reason.SERVICE_TIMEOUT, text)


class UnpinnedServiceError(ServiceError):
    """Whoever answered did not prove to be the service that the tenant was connected with."""

    def __init__(self, text: str) -> None:
        super().__init__(Reason.UNPINNED_SERVICE, text)
