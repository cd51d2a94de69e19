"""The service's settings, from GROUPSEAL_SERVICE_ variables."""

import os
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from encryption_service.client_identities import ClientIdentities
from encryption_service.errors import SettingsError
from groupseal.suites import Suite
from groupseal.trust import MembershipCheck, TrustMode, TrustSettings

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
    # SAN URIs, or `dns:` and DNS names, of the vendor's client certificates.
    allowed_client_identities: Annotated[tuple[str, ...], NoDecode]
    trust_mode: TrustMode = TrustMode.PIN
    # Mode `oidc`: the customer's own identity provider, and the client registered for this alone.
    oidc_issuer: str = ""
    oidc_client_id: str = ""
    # The claim that is the person's id at the membership source, and SCIM externalId.
    oidc_subject_claim: Literal["sub", "uid", "oid"] = "sub"
    # Default: `enforce` with a membership source, else `off`.
    membership_check: MembershipCheck | None = None
    membership_source: Literal["okta", "entra"] | None = None
    okta_url: str = ""
    # One of the two kinds of credential; files are read again when they change.
    okta_token_file: Path | None = None
    okta_client_id: str = ""
    okta_private_key_file: Path | None = None
    entra_tenant_id: str = ""
    entra_client_id: str = ""
    entra_client_secret_file: Path | None = None
    # Where Microsoft Graph and its tokens are: other addresses for national clouds.
    entra_graph_url: str = "https://graph.microsoft.com"
    entra_login_url: str = "https://login.microsoftonline.com"
    membership_cache_seconds: float = Field(default=120, ge=1, le=3600)
    membership_audit_seconds: float = Field(default=900, ge=1, le=86_400)
    membership_recheck_seconds: float = Field(default=60, ge=0.2, le=3600)
    # Addresses of private networks may be asked, and loopback without TLS.
    outbound_allow_private: bool = False
    # Authorities (PEM) that are trusted beyond the system's.
    outbound_ca_file: Path | None = None
    # YAML; none: nothing is held back.
    policy_file: Path | None = None
    # Plain HTTP with /metrics; absent: none.
    metrics_listen: str | None = None
    # Epochs that open, in a second, because a key was unbound.
    rotations_per_second: float = Field(default=50, gt=0, le=1000)
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

    @property
    def trust(self) -> TrustSettings:
        """What the ledger says of how this service decides."""
        by_evidence = self.trust_mode is TrustMode.OIDC
        check = self.membership_check
        if check is None:
            check = MembershipCheck.ENFORCE if self.membership_source else MembershipCheck.OFF
        return TrustSettings(
            mode=self.trust_mode,
            issuer=self.oidc_issuer if by_evidence else "",
            client_id=self.oidc_client_id if by_evidence else "",
            subject_claim=self.oidc_subject_claim if by_evidence else "",
            membership_check=check,
            membership_source=(self.membership_source or "") if check > MembershipCheck.OFF else "",
        )

    @property
    def asks_source(self) -> bool:
        """The membership source is asked at all."""
        return self.trust.membership_check is not MembershipCheck.OFF

    @model_validator(mode="after")
    def _evidence_is_whole(self) -> Self:
        if self.trust_mode is TrustMode.OIDC and not (self.oidc_issuer and self.oidc_client_id):
            raise ValueError(
                f"{PREFIX}TRUST_MODE=oidc needs {PREFIX}OIDC_ISSUER and {PREFIX}OIDC_CLIENT_ID"
            )
        return self

    @model_validator(mode="after")
    def _source_is_whole(self) -> Self:
        if self.membership_source is None:
            if self.membership_check not in {None, MembershipCheck.OFF}:
                raise ValueError(f"{PREFIX}MEMBERSHIP_CHECK needs {PREFIX}MEMBERSHIP_SOURCE")
            return self
        if self.membership_source == "okta":
            missing = _missing_of_okta(self)
        else:
            names = ("entra_tenant_id", "entra_client_id", "entra_client_secret_file")
            missing = [PREFIX + name.upper() for name in names if not getattr(self, name)]
        if missing:
            raise ValueError(
                f"{PREFIX}MEMBERSHIP_SOURCE={self.membership_source} needs {', '.join(missing)}"
            )
        return self

    @field_validator("listen", "health_listen", "metrics_listen")
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
            raise ValueError(
                "it must name at least one, such as spiffe://groupseal/tenant/… or "
                "dns:worker.example.com"
            )
        ClientIdentities.parse(identities)
        return identities

    @field_validator("trust_mode", "membership_check", mode="before")
    @classmethod
    def _by_name(cls, value: object, info: ValidationInfo) -> object:
        kind = TrustMode if info.field_name == "trust_mode" else MembershipCheck
        if value is None or isinstance(value, kind):
            return value
        known = {each.name.lower(): each for each in kind}
        if not isinstance(value, str) or value not in known:
            raise ValueError(f"it must be one of {', '.join(known)}")
        return known[value]

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


def _missing_of_okta(settings: ServiceSettings) -> list[str]:
    missing = [] if settings.okta_url else [f"{PREFIX}OKTA_URL"]
    by_key = (bool(settings.okta_client_id), settings.okta_private_key_file is not None)
    if (settings.okta_token_file is not None) == any(by_key) or any(by_key) != all(by_key):
        missing.append(
            f"either {PREFIX}OKTA_TOKEN_FILE, or {PREFIX}OKTA_CLIENT_ID and "
            f"{PREFIX}OKTA_PRIVATE_KEY_FILE"
        )
    return missing


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
