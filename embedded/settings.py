"""What a person may choose about the embedded stack, from options and environment variables."""

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from embedded.errors import EmbeddedError

PREFIX = "GROUPSEAL_"
_Port = Annotated[int, Field(ge=1, le=65535)]


class EmbeddedSettings(BaseSettings):
    """The settings of `groupseal up`; each can come from the variable named beside it."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", hide_input_in_errors=True
    )

    data: Path = Path("groupseal-data")
    """GROUPSEAL_DATA: the folder that holds everything and survives a restart."""
    ready_file: Path | None = None
    """GROUPSEAL_READY_FILE: where to say, once everything serves, where everything is."""
    port: _Port | None = None
    """GROUPSEAL_PORT: port of the gateway, 1 to 65535; a free one is chosen and kept if unset."""
    service_port: _Port | None = None
    """GROUPSEAL_SERVICE_PORT: port of the encryption service, likewise."""
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """GROUPSEAL_WORKERS: number of worker processes, 1 to 64."""
    database_url: str | None = Field(default=None, repr=False)
    """GROUPSEAL_DATABASE_URL: postgresql://… of a server that exists, in place of our own."""
    redis_url: str | None = Field(default=None, repr=False)
    """GROUPSEAL_REDIS_URL: redis://…, rediss://… or unix://… of a server that exists."""

    @field_validator("database_url")
    @classmethod
    def _postgresql(cls, value: str | None) -> str | None:
        return _with_scheme(value, {"postgresql", "postgres"})

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: str | None) -> str | None:
        return _with_scheme(value, {"redis", "rediss", "unix"})

    @classmethod
    def load(cls, **options: object) -> Self:
        """Read the environment; options that are not None win.

        Raises EmbeddedError naming the variable that is wrong and what it may be.
        """
        given = {name: value for name, value in options.items() if value is not None}
        try:
            return cls(**given)  # type: ignore[arg-type]  # validated by pydantic
        except ValidationError as error:
            faults = (
                f"{PREFIX}{str(fault['loc'][0]).upper()} (or the option --"
                f"{str(fault['loc'][0]).replace('_', '-')}): {fault['msg']}"
                for fault in error.errors(include_url=False, include_input=False)
            )
            # Not `from error`: its text could quote a URL with a password.
            raise EmbeddedError("\n".join(faults)) from None


def _with_scheme(value: str | None, schemes: set[str]) -> str | None:
    if value is not None and urlsplit(value).scheme not in schemes:
        wanted = " or ".join(f"{scheme}://" for scheme in sorted(schemes))
        raise ValueError(f"must be a URL that begins with {wanted}")
    return value
