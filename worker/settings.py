"""The worker's settings, from environment variables that begin with GROUPSEAL_."""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field

from directory.settings import DirectorySettings, SettingsError, load
from worker.errors import WorkerError

_Seconds = Annotated[float, Field(gt=0, le=3600)]
_Settings = TypeVar("_Settings", bound=DirectorySettings)


class PairingSettings(DirectorySettings):
    """The settings of `groupseal tenant connect`; each comes from the variable named beside it."""

    authority_dir: Path
    """GROUPSEAL_AUTHORITY_DIR: the folder made by `groupseal authority create`."""
    call_timeout: Annotated[float, Field(gt=0, le=60)] = 5.0
    """GROUPSEAL_CALL_TIMEOUT: seconds without progress after which a call is given up."""


class SweeperSettings(DirectorySettings):
    """The settings of `groupseal sweeper`."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """GROUPSEAL_LOG_LEVEL: DEBUG, INFO, WARNING or ERROR."""
    sweep_interval: _Seconds = 1.0
    """GROUPSEAL_SWEEP_INTERVAL: seconds between two looks for forgotten work."""
    ledger_refresh: _Seconds = 30.0
    """GROUPSEAL_LEDGER_REFRESH: seconds after which an idle tenant's ledger is read again."""


class WatchingSettings(SweeperSettings):
    """The settings of `groupseal sweeper`, with what it watches ledgers with."""

    watch_ledgers: bool = True
    """GROUPSEAL_WATCH_LEDGERS: whether idle tenants' services are watched. Without it, and without
    GROUPSEAL_AUTHORITY_DIR, their news waits for GROUPSEAL_LEDGER_REFRESH."""
    watch_most: Annotated[int, Field(ge=1, le=20_000)] = 2_000
    """GROUPSEAL_WATCH_MOST: most tenants that one process watches, each over a channel of its
    own."""
    authority_dir: Path | None = None
    """GROUPSEAL_AUTHORITY_DIR: the folder made by `groupseal authority create`."""
    call_timeout: Annotated[float, Field(gt=0, le=60)] = 5.0
    """GROUPSEAL_CALL_TIMEOUT: seconds without progress after which a call is given up."""


class WorkerSettings(PairingSettings, SweeperSettings):
    """The settings of `groupseal worker`."""

    worker_slice_seconds: Annotated[float, Field(gt=0, le=60)] = 2.0
    """GROUPSEAL_WORKER_SLICE_SECONDS: how long one tenant is served before the next one's turn."""
    worker_groups_per_round: Annotated[int, Field(ge=1, le=1000)] = 100
    """GROUPSEAL_WORKER_GROUPS_PER_ROUND: most groups in one stream to the service."""


def read_settings(kind: type[_Settings]) -> _Settings:
    """Reads settings from the environment. Raises WorkerError, a sentence per bad variable."""
    try:
        return load(kind)
    except SettingsError as error:
        raise WorkerError(str(error)) from None
