"""What the chart tells the service is what the service reads."""

import pytest

from encryption_service.settings import ServiceSettings
from tests.charts.matrix import CASES
from tests.charts.rendering import containers, render

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


@pytest.mark.parametrize("case", CASES)
def test_the_service_accepts_the_variables(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's own validation accepts every value that the chart renders."""
    (container,) = containers(render(CASES[case]))
    variables = {v["name"]: v["value"] for v in container["env"]}
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    ServiceSettings()
