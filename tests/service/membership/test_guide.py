"""The guide's settings are those that the service reads, and make the source they say."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from encryption_service.errors import SettingsError
from encryption_service.membership import make_source
from encryption_service.membership.entra import EntraSource
from encryption_service.membership.okta import OktaSource
from encryption_service.outbound_http import OutboundHttp
from encryption_service.settings import PREFIX, ServiceSettings
from groupseal.trust import MembershipCheck
from tests.service.membership.conftest import Time

GUIDE = (Path(__file__).parents[3] / "docs/membership-source.md").read_text()
SAMPLES = [
    dict(line.split("=", 1) for line in sample.splitlines())
    for sample in re.findall(r"```ini\n(.*?)```", GUIDE, re.DOTALL)
]


CHART = Path(__file__).parents[3] / "helm/encryption-service"
VALUES = [yaml.safe_load(sample) for sample in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)]


def service_settings(tmp_path: Path, **values: object) -> ServiceSettings:
    return ServiceSettings.model_validate(
        {
            "data_dir": tmp_path,
            "root_key_file": tmp_path / "root.key",
            "vendor_ca_file": tmp_path / "ca.crt",
            "allowed_client_identities": "spiffe://groupseal/tenant/one",
            **values,
        }
    )


def test_the_guide_has_a_sample_for_each_kind_of_credential() -> None:
    assert len(SAMPLES) == 4


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_makes_the_source_it_names(
    sample: dict[str, str], tmp_path: Path, http: OutboundHttp, clock: Time
) -> None:
    known = {f"{PREFIX}{name.upper()}" for name in ServiceSettings.model_fields}
    assert set(sample) <= known
    values = {name.removeprefix(PREFIX).lower(): value for name, value in sample.items()}
    settings = service_settings(tmp_path, **values)
    assert settings.trust.membership_check is MembershipCheck.ENFORCE
    source = make_source(settings, http, clock)
    kinds = {"okta": OktaSource, "entra": EntraSource}
    assert isinstance(source, OktaSource | EntraSource)
    assert isinstance(source, kinds[values["membership_source"]])
    assert source.name == values["membership_source"]


def test_the_guide_has_values_for_helm_for_each_kind_of_credential() -> None:
    assert len(VALUES) == 3


@pytest.mark.parametrize("values", VALUES)
def test_values_for_helm_are_those_of_the_chart(values: dict[str, Any]) -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())["membership"]
    whole = {**defaults, **values["membership"]}
    jsonschema.validate(whole, {**schema, **schema["properties"]["membership"]})


def test_every_metric_of_the_guide_exists() -> None:
    source = (Path(__file__).parents[3] / "encryption_service/metrics_collectors.py").read_text()
    names = re.findall(r"`groupseal_service_(membership_\w+)`", GUIDE)
    assert len(names) == 7
    for name in names:
        stem = name.removesuffix("_total").removesuffix("_timestamp_seconds")
        assert stem in source or stem.removeprefix("membership_") in source


def test_every_setting_of_the_guide_exists() -> None:
    named = set(re.findall(rf"{PREFIX}([A-Z_]+[A-Z])", GUIDE))
    assert named <= {name.upper() for name in ServiceSettings.model_fields}


def test_the_guide_s_defaults_are_the_service_s(tmp_path: Path) -> None:
    settings = service_settings(tmp_path)
    rows = re.findall(rf"\| `{PREFIX}(MEMBERSHIP_[A-Z]+_SECONDS)` \| (\d+) \|", GUIDE)
    assert len(rows) == 3
    for name, default in rows:
        assert getattr(settings, name.lower()) == float(default)


def test_no_source_is_made_where_none_is_named(
    tmp_path: Path, http: OutboundHttp, clock: Time
) -> None:
    assert make_source(service_settings(tmp_path), http, clock) is None


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"okta_url": "https://example.okta.com"}, "OKTA_TOKEN_FILE"),
        ({"okta_url": "", "okta_token_file": "/token"}, "OKTA_URL"),
        ({"okta_url": "https://u:p@example.okta.com", "okta_token_file": "/token"}, "OKTA_URL"),
        ({"okta_url": "ftp://example.okta.com", "okta_token_file": "/token"}, "OKTA_URL"),
    ],
)
def test_settings_that_do_not_go_together_are_named(
    tmp_path: Path, http: OutboundHttp, clock: Time, values: dict[str, str], told: str
) -> None:
    with pytest.raises((SettingsError, ValidationError), match=told):
        make_source(service_settings(tmp_path, membership_source="okta", **values), http, clock)
