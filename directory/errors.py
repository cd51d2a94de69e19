"""What callers of the directory branch on."""


class DirectoryError(Exception):
    """A request that the directory refuses; nothing was changed."""


class NotFoundError(DirectoryError):
    """There is no such resource in this tenant."""


class TakenError(DirectoryError):
    """A name or identifier that must be unique is in use."""


class VersionMismatchError(DirectoryError):
    """The resource has changed since the version that the caller names."""


class TooManyUnresolvedError(DirectoryError):
    """A group holds as many unknown member values as it may."""


class NotRestorableError(DirectoryError):
    """The group is not deleted, or nothing is kept of it any more."""


class ContendedError(DirectoryError):
    """Others kept changing the same rows; the request may be sent again."""


class TokenChoiceError(DirectoryError):
    """It is not clear which token is meant."""
