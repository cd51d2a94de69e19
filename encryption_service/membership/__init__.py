"""Whether the identity provider itself says that somebody is in a group."""

from pathlib import Path
from typing import Protocol

from encryption_service.errors import SettingsError
from encryption_service.membership.entra import EntraSource, entra_client_credentials
from encryption_service.membership.okta import OktaSource
from encryption_service.membership.okta_credentials import ApiToken, okta_client_credentials
from encryption_service.membership.rate_limits import RateGovernor
from encryption_service.membership.secret_file import SecretFile
from encryption_service.membership.source import Clock, MembershipSource
from encryption_service.membership.source_client import Credential, Http
from encryption_service.outbound_http import OutboundError, check_url

_PREFIX = "GROUPSEAL_SERVICE_"


class MembershipSettings(Protocol):
    """What of the service's settings says whom to ask, and with which credential."""

    @property
    def membership_source(self) -> str | None: ...
    @property
    def okta_url(self) -> str: ...
    @property
    def okta_token_file(self) -> Path | None: ...
    @property
    def okta_client_id(self) -> str: ...
    @property
    def okta_private_key_file(self) -> Path | None: ...
    @property
    def entra_tenant_id(self) -> str: ...
    @property
    def entra_client_id(self) -> str: ...
    @property
    def entra_client_secret_file(self) -> Path | None: ...
    # Other clouds than the worldwide one have their own hosts.
    @property
    def entra_graph_url(self) -> str: ...
    @property
    def entra_login_url(self) -> str: ...


def make_source(settings: MembershipSettings, http: Http, clock: Clock) -> MembershipSource | None:
    """The source that the settings name; None if they name none. Asks nobody yet.

    A file that cannot be read is no reason to stop: it is read when it is needed, and additions
    wait until then. Raises SettingsError for settings that contradict each other.
    """
    match settings.membership_source:
        case None | "":
            return None
        case "okta":
            return _okta(settings, http, clock)
        case "entra":
            return _entra(settings, http, clock)
    raise SettingsError(f"{_PREFIX}MEMBERSHIP_SOURCE must be okta or entra")


def _okta(settings: MembershipSettings, http: Http, clock: Clock) -> MembershipSource:
    url = _url("OKTA_URL", settings.okta_url)
    governor = RateGovernor("okta", clock)
    token_file, key_file = settings.okta_token_file, settings.okta_private_key_file
    credential: Credential
    if token_file is not None and key_file is None and not settings.okta_client_id:
        credential = ApiToken(SecretFile(token_file))
    elif token_file is None and key_file is not None and settings.okta_client_id:
        credential = okta_client_credentials(
            http,
            url,
            SecretFile(key_file),
            client_id=settings.okta_client_id,
            governor=governor,
            clock=clock,
        )
    else:
        raise SettingsError(
            f"{_PREFIX}MEMBERSHIP_SOURCE=okta takes either {_PREFIX}OKTA_TOKEN_FILE, or "
            f"{_PREFIX}OKTA_CLIENT_ID and {_PREFIX}OKTA_PRIVATE_KEY_FILE"
        )
    return OktaSource(http, url, credential, governor)


def _entra(settings: MembershipSettings, http: Http, clock: Clock) -> MembershipSource:
    tenant_id, client_id = settings.entra_tenant_id, settings.entra_client_id
    file = settings.entra_client_secret_file
    if not tenant_id or not client_id or file is None:
        raise SettingsError(
            f"{_PREFIX}MEMBERSHIP_SOURCE=entra takes {_PREFIX}ENTRA_TENANT_ID, "
            f"{_PREFIX}ENTRA_CLIENT_ID and {_PREFIX}ENTRA_CLIENT_SECRET_FILE"
        )
    graph_url = _url("ENTRA_GRAPH_URL", settings.entra_graph_url)
    login_url = _url("ENTRA_LOGIN_URL", settings.entra_login_url)
    governor = RateGovernor("entra", clock)
    credential = entra_client_credentials(
        http,
        SecretFile(file),
        tenant_id=tenant_id,
        client_id=client_id,
        governor=governor,
        clock=clock,
        login_url=login_url,
        graph_url=graph_url,
    )
    return EntraSource(http, credential, governor, graph_url=graph_url)


def _url(name: str, value: str) -> str:
    """Raises SettingsError."""
    if not value:
        raise SettingsError(f"{_PREFIX}{name} is not set, and there is no default.")
    try:
        check_url(value)
    except OutboundError as error:
        raise SettingsError(f"{_PREFIX}{name} is not usable: {error}") from error
    return value.rstrip("/")
