"""Settings: every bad one is named, with what it may be."""

import pytest

from encryption_service.errors import SettingsError
from encryption_service.settings import PREFIX, ServiceSettings, load

GOOD = {
    "DATA_DIR": "/data",
    "ROOT_KEY_FILE": "/root.key",
    "VENDOR_CA_FILE": "/ca.crt",
    "ALLOWED_CLIENT_IDENTITIES": "spiffe://groupseal/tenant/1, spiffe://groupseal/tenant/2",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in GOOD.items():
        monkeypatch.setenv(PREFIX + name, value)
    return monkeypatch


def test_identities_are_a_list(environment: pytest.MonkeyPatch) -> None:
    """Comma separated, spaces do not count."""
    settings = load(ServiceSettings)
    assert settings.allowed_client_identities == (
        "spiffe://groupseal/tenant/1",
        "spiffe://groupseal/tenant/2",
    )
    assert settings.sealing_processes >= 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALLOWED_CLIENT_IDENTITIES", ""),
        ("ALLOWED_CLIENT_IDENTITIES", "not-a-uri"),
        ("TRUST_MODE", "oidc"),
        ("LISTEN", "8443"),
        ("HEALTH_LISTEN", "localhost:port"),
        ("LOG_LEVEL", "loud"),
        ("MAX_ROSTER", "0"),
        ("WRAP_PROCESSES", "many"),
        ("SERVER_NAME", "no spaces"),
        ("ALLOWED_SUITES", "rsa"),
        ("SERVER_KEY_FILE", "/only-one-of-three"),
    ],
)
def test_a_bad_value_is_named(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    """The text names the variable."""
    environment.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError, match=PREFIX + name):
        load(ServiceSettings)


def test_a_missing_value_is_named(environment: pytest.MonkeyPatch) -> None:
    """What has no default must be set."""
    environment.delenv(PREFIX + "VENDOR_CA_FILE")
    with pytest.raises(SettingsError, match=f"{PREFIX}VENDOR_CA_FILE is not set"):
        load(ServiceSettings)
