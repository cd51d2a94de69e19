"""The gateway's settings, read from GROUPSEAL_ variables."""

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from directory.settings import PREFIX, DirectorySettings


class GatewaySettings(DirectorySettings):
    """Where to listen, with how many processes and threads, and what a request may cost."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, hide_input_in_errors=True, extra="ignore")

    gateway_listen: str = "127.0.0.1:8080"
    gateway_workers: int = Field(default=1, ge=1, le=64)
    # Requests that one process answers at a time; each may hold one database connection.
    gateway_threads: int = Field(default=8, ge=1, le=256)
    # Bytes; a list of 100,000 members has about ten million.
    gateway_max_body: int = Field(default=64 * 1024 * 1024, ge=65_536)
    # What clients see as our address, if a proxy is in front: https://scim.example.com
    gateway_public_url: str | None = None
    # Proxies in front whose X-Forwarded-For is believed; the address that the outermost of them
    # saw is the client's.
    gateway_trusted_proxies: int = Field(default=0, ge=0, le=10)
    # What one token may ask, over all processes; 0 is no limit. Entra ID documents 25 requests a
    # second and Okta pushes a group in bursts of hundreds: four times the one as a rate, and a
    # burst that holds a large push, so that only a runaway client or a stolen token meets it.
    gateway_rate_per_second: float = Field(default=100, ge=0, le=100_000)
    gateway_rate_burst: int = Field(default=1_000, ge=1, le=1_000_000)
    # Requests without a valid token from one address, in one process; 0 is no limit.
    gateway_rate_failures_per_minute: int = Field(default=60, ge=0, le=100_000)
    log_level: str = "INFO"

    @field_validator("gateway_listen")
    @classmethod
    def _address(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65_535:
            raise ValueError("it must be HOST:PORT, such as 127.0.0.1:8080")
        return value

    @field_validator("gateway_public_url")
    @classmethod
    def _public_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("https://", "http://")):
            raise ValueError("it must be a URL such as https://scim.example.com")
        return value.rstrip("/") if value else None

    @field_validator("log_level")
    @classmethod
    def _level(cls, value: str) -> str:
        levels = ("DEBUG", "INFO", "WARNING", "ERROR")
        if value.upper() not in levels:
            raise ValueError(f"it must be one of {', '.join(levels)}")
        return value.upper()
