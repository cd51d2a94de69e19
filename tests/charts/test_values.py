"""The chart's values: none without effect, none without documentation, none without a setting."""

from typing import Any

import pytest
import yaml

from encryption_service.settings import ServiceSettings
from tests.charts.matrix import CASES, EVERYTHING, MINIMAL, OWN_CERTIFICATE
from tests.charts.rendering import CHART, Values, containers, merged, render, render_text

pytestmark = pytest.mark.tools

PREFIX = "GROUPSEAL_SERVICE_"
DEFAULTS: Values = yaml.safe_load((CHART / "values.yaml").read_text())
# Kubernetes' own objects, and maps whose keys are the user's: one value each.
WHOLE = {"podSecurityContext", "securityContext", "resources"}
# Another value for each key than the matrix's; what these need to make a difference comes along.
OTHERS: dict[str, Values] = {
    "fullnameOverride": {"fullnameOverride": "groupseal"},
    "replicaCount": {},
    "image.repository": {"image": {"repository": "mirror/encryption-service"}},
    "image.tag": {"image": {"tag": "1.2.3"}},
    "image.digest": {"image": {"digest": EVERYTHING["image"]["digest"]}},
    "image.pullPolicy": {"image": {"pullPolicy": "Always"}},
    "serviceAccount.create": {"serviceAccount": {"create": False}},
    "serviceAccount.name": {"serviceAccount": {"name": "sealing"}},
    "serviceAccount.automountServiceAccountToken": {
        "serviceAccount": {"automountServiceAccountToken": True}
    },
    "rootKey.existingSecret": {"rootKey": {"existingSecret": "another"}},
    "rootKey.key": {"rootKey": {"key": "root"}},
    "tls.existingSecret": {"tls": {"existingSecret": "the-server-certificate"}},
    "tls.caKey": OWN_CERTIFICATE,
    "tls.clientCA.existingSecret": {"tls": {"clientCA": {"existingSecret": "another"}}},
    "tls.clientCA.key": {"tls": {"clientCA": {"key": "vendor.pem"}}},
    "tls.allowedClientIdentities": {"tls": {"allowedClientIdentities": ["spiffe://other/x"]}},
    "storage.sqlite.existingClaim": {"storage": {"sqlite": {"existingClaim": "the-claim"}}},
    "podSecurityContext": {"podSecurityContext": {"fsGroup": 1}},
    "securityContext": {"securityContext": {"readOnlyRootFilesystem": False}},
    "resources": {"resources": {"limits": {"memory": "1Gi"}}},
}


def leaves(values: Values, above: str = "") -> list[str]:
    """The dotted names of all values; an empty map or a raw Kubernetes object is one value."""
    found: list[str] = []
    for key, value in values.items():
        name = f"{above}{key}"
        if isinstance(value, dict) and value and name not in WHOLE:
            found += leaves(value, f"{name}.")
        else:
            found.append(name)
    return found


def only(values: Values, name: str) -> Values:
    """`values` reduced to the one of the dotted `name`."""
    key, _, below = name.partition(".")
    return {key: only(values[key], below) if below else values[key]}


@pytest.mark.parametrize("name", sorted(set(leaves(DEFAULTS)) - {"replicaCount"}))
def test_every_value_has_an_effect(name: str) -> None:
    """Changing any value changes what is rendered: there is no dead key."""
    change = OTHERS[name] if name in OTHERS else only(EVERYTHING, name)
    assert render_text(merged(MINIMAL, change)) != render_text(MINIMAL)


def test_every_value_is_documented() -> None:
    """The chart's README names every value and no other."""
    rows = [
        line.split("|")[1].strip().strip("`")
        for line in (CHART / "README.md").read_text().splitlines()
        if line.startswith("| `")
    ]
    assert sorted(rows) == sorted(leaves(DEFAULTS))


def setting_names() -> set[str]:
    """The environment variables that the service reads."""
    prefix = ServiceSettings.model_config.get("env_prefix", "")
    return {f"{prefix}{field}".upper() for field in ServiceSettings.model_fields}


@pytest.mark.parametrize("case", CASES)
def test_every_variable_is_a_setting_of_the_service(case: str) -> None:
    """The chart sets nothing that the service does not read."""
    (container,) = containers(render(CASES[case]))
    names = [variable["name"] for variable in container["env"]]
    assert len(names) == len(set(names))
    assert {name for name in names if name.startswith(PREFIX)} <= setting_names()


@pytest.mark.parametrize("case", CASES)
def test_the_service_accepts_the_variables(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's own validation accepts every value that the chart renders."""
    (container,) = containers(render(CASES[case]))
    variables: dict[str, Any] = {v["name"]: v["value"] for v in container["env"]}
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    ServiceSettings()
