"""The service's settings, from GROUPSEAL_SERVICE_ variables."""

import os
from pathlib import Path
from typing import Annotated, Self, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from encryption_service.errors import SettingsError
from groupseal.entries import TrustMode
from groupseal.suites import Suite

PREFIX = "GROUPSEAL_SERVICE_"
_MIB = 1024 * 1024
_Settings = TypeVar("_Settings", bound=BaseSettings)


class StoreSettings(BaseSettings):
    """What every command reads: where the store is, and how the server identifies itself."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    data_dir: Path
    root_key_file: Path | None = None
    # All three or none; none: the service's own authority issues the certificate.
    server_certificate_file: Path | None = None
    server_key_file: Path | None = None
    server_ca_file: Path | None = None
    # DNS name in the certificate; default `<organisation id>.encryption-service.groupseal`.
    server_name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9.-]{1,253}$")

    @model_validator(mode="after")
    def _certificate_is_whole(self) -> Self:
        files = (self.server_certificate_file, self.server_key_file, self.server_ca_file)
        if any(files) and not all(files):
            raise ValueError(
                f"{PREFIX}SERVER_CERTIFICATE_FILE, {PREFIX}SERVER_KEY_FILE and "
                f"{PREFIX}SERVER_CA_FILE go together: set all of them or none"
            )
        if all(files) and self.server_name is None:
            raise ValueError(
                f"with certificate files, {PREFIX}SERVER_NAME must be a DNS name that the "
                "certificate bears"
            )
        return self


class ServiceSettings(StoreSettings):
    """What `serve` reads."""

    root_key_file: Path
    listen: str = "127.0.0.1:8443"
    # Plain HTTP with /livez and /readyz; absent: none.
    health_listen: str | None = None
    vendor_ca_file: Path
    # SAN URIs of the vendor's client certificates.
    allowed_client_identities: Annotated[tuple[str, ...], NoDecode]
    trust_mode: TrustMode = TrustMode.PIN
    allowed_suites: Annotated[tuple[Suite, ...], NoDecode] = (Suite.XWING,)
    log_level: str = "INFO"
    # Processes that seal; 0: one for each processor.
    wrap_processes: int = Field(default=0, ge=0, le=256)
    max_roster: int = Field(default=100_000, ge=1, le=100_000)
    max_message_bytes: int = Field(default=4 * _MIB, ge=2 * _MIB, le=64 * _MIB)
    max_concurrent_calls: int = Field(default=64, ge=1, le=1_000)
    max_devices_per_member: int = Field(default=5, ge=1, le=100)
    envelope_grace_seconds: float = Field(default=60, ge=0)
    opening_delay_max_seconds: float = Field(default=60, ge=0, le=60)

    @property
    def sealing_processes(self) -> int:
        return self.wrap_processes or len(os.sched_getaffinity(0))

    @field_validator("listen", "health_listen")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None:
            host_and_port(value)
        return value

    @field_validator("log_level")
    @classmethod
    def _level(cls, value: str) -> str:
        if value.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            raise ValueError("it must be one of DEBUG, INFO, WARNING, ERROR")
        return value.upper()

    @field_validator("allowed_client_identities", mode="before")
    @classmethod
    def _identities(cls, value: object) -> object:
        identities = _words(value)
        if not identities:
            raise ValueError("it must name at least one SAN URI, such as spiffe://…/tenant/…")
        if not all("://" in identity for identity in identities):
            raise ValueError("each of them must be a URI, such as spiffe://groupseal/tenant/…")
        return identities

    @field_validator("trust_mode", mode="before")
    @classmethod
    def _pin_only(cls, value: object) -> object:
        if value in {"pin", TrustMode.PIN}:
            return TrustMode.PIN
        raise ValueError("this version knows the trust mode `pin` only")

    @field_validator("allowed_suites", mode="before")
    @classmethod
    def _suites(cls, value: object) -> object:
        if isinstance(value, tuple):
            return value
        names = _words(value)
        known = {suite.name.lower(): suite for suite in Suite}
        if not names or not set(names) <= set(known):
            raise ValueError(f"it must be a list of {', '.join(known)}")
        return tuple(known[name] for name in names)


def host_and_port(address: str) -> tuple[str, int]:
    """Takes `host:port` apart. Raises ValueError."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 <= int(port) < 65536:
        raise ValueError("it must be host:port, such as 0.0.0.0:8443")
    return host.strip("[]"), int(port)


def load(kind: type[_Settings]) -> _Settings:
    """Reads settings from the environment. Raises SettingsError, a sentence per bad variable."""
    try:
        return kind()
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None


def _words(value: object) -> tuple[str, ...]:
    if isinstance(value, list | tuple):
        return tuple(str(word) for word in value)
    return tuple(word.strip() for word in str(value).split(",") if word.strip())


def _explain(error: ValidationError) -> str:
    sentences = []
    for fault in error.errors(include_input=False, include_url=False):
        what = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
        name = PREFIX + "_".join(str(part) for part in fault["loc"]).upper()
        if not fault["loc"]:
            sentences.append(f"{what}.")
        elif fault["type"] == "missing":
            sentences.append(f"{name} is not set, and there is no default.")
        else:
            sentences.append(f"{name} is not usable: {what}.")
    return "\n".join(sentences)
