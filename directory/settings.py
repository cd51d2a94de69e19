"""The directory's settings: where its database and Redis are."""

from typing import ClassVar, TypeVar

from pydantic import ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from directory.database import sqlalchemy_url

PREFIX = "GROUPSEAL_"
_Settings = TypeVar("_Settings", bound=BaseSettings)


class SettingsError(Exception):
    """Settings that cannot be used; the text names each variable and what it may be."""


class DirectorySettings(BaseSettings):
    """Read from GROUPSEAL_ variables by every vendor component."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, hide_input_in_errors=True, extra="ignore")
    schemes: ClassVar = ("redis://", "rediss://", "unix://")

    # URLs hold passwords: neither repr shows them.
    database_url: str
    redis_url: str = "redis://127.0.0.1:6379/0"

    @field_validator("database_url")
    @classmethod
    def _postgres(cls, value: str) -> str:
        sqlalchemy_url(value)
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: str) -> str:
        if not value.startswith(cls.schemes):
            raise ValueError("it must be a URL such as redis://host:6379/0 or unix:///path")
        return value

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    __str__ = __repr__


def load(kind: type[_Settings]) -> _Settings:
    """Reads settings from the environment. Raises SettingsError, a sentence per bad variable."""
    try:
        return kind()
    except ValidationError as error:
        prefix = str(kind.model_config.get("env_prefix", ""))
        raise SettingsError(_explain(error, prefix)) from None


def _explain(error: ValidationError, prefix: str) -> str:
    sentences = []
    for fault in error.errors(include_input=False, include_url=False):
        name = prefix + "_".join(str(part) for part in fault["loc"]).upper()
        if fault["type"] == "missing":
            sentences.append(f"{name} is not set, and there is no default.")
        else:
            what = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
            sentences.append(f"{name} is not usable: {what}.")
    return "\n".join(sentences)
