"""What the chart tells the service is what the service reads."""

import json

import pytest

from encryption_service.settings import ServiceSettings, load
from tests.charts.matrix import CASES, MINIMAL
from tests.charts.rendering import CHART, containers, merged, render

pytestmark = pytest.mark.tools


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
    assert {name for name in names if name.startswith("GROUPSEAL_")} <= setting_names()


LOG_LEVELS = json.loads((CHART / "values.schema.json").read_text())["properties"]["logLevel"][
    "enum"
]
ACCEPTED = CASES | {
    f"log level {level}": merged(MINIMAL, {"logLevel": level}) for level in LOG_LEVELS
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_the_service_accepts_the_variables(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's own validation accepts every value that the chart renders."""
    (container,) = containers(render(ACCEPTED[case]))
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)
    for variable in container["env"]:
        monkeypatch.setenv(variable["name"], variable["value"])
    load(ServiceSettings)
