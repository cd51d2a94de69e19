"""Run helm on the charts of this repository and read what it renders. No cluster is asked."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
HELM = ROOT / ".tools" / "bin" / "helm"
CHART = ROOT / "helm" / "encryption-service"
CHART_FILE: dict[str, Any] = yaml.safe_load((CHART / "Chart.yaml").read_text())

Manifest = dict[str, Any]
Values = dict[str, Any]


class HelmRefusedError(Exception):
    """Helm's own words on why it did not do what was asked."""


def helm(*arguments: str, stdin: str | None = None) -> str:
    """Run helm and return its standard output; raise `HelmRefusedError` if it fails."""
    if not HELM.exists():
        pytest.fail(f"{HELM.relative_to(ROOT)} is missing: run 'make tools'", pytrace=False)
    done = subprocess.run(
        [str(HELM), *arguments], input=stdin, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise HelmRefusedError(done.stderr)
    return done.stdout


def render_text(
    values: Values,
    *,
    chart: Path = CHART,
    release: str = "seal",
    namespace: str = "security",
    kubernetes: str | None = None,
) -> str:
    """The manifests that helm renders for `values`, as YAML text."""
    version = ["--kube-version", kubernetes] if kubernetes else []
    return helm(
        "template",
        release,
        str(chart),
        "--namespace",
        namespace,
        "--values",
        "-",
        *version,
        stdin=yaml.safe_dump(values),
    )


def render(values: Values, **options: Any) -> list[Manifest]:
    """The objects that helm renders for `values`; the options are those of `render_text`."""
    return [found for found in yaml.safe_load_all(render_text(values, **options)) if found]


def of_kind(objects: list[Manifest], kind: str) -> list[Manifest]:
    """Those of `objects` that are of `kind`."""
    return [found for found in objects if found["kind"] == kind]


def stateful_set(objects: list[Manifest]) -> Manifest:
    """The one StatefulSet among `objects`."""
    (found,) = of_kind(objects, "StatefulSet")
    return found


def pod_templates(objects: list[Manifest]) -> Iterator[Manifest]:
    """The pod template of every workload among `objects`."""
    for found in objects:
        if "template" in found.get("spec", {}):
            yield found["spec"]["template"]


def containers(objects: list[Manifest]) -> Iterator[Manifest]:
    """Every container of every workload among `objects`, init containers included."""
    for template in pod_templates(objects):
        yield from template["spec"].get("initContainers", [])
        yield from template["spec"]["containers"]


def merged(base: Values, change: Values) -> Values:
    """`base` with `change` laid over it, object by object, as helm does it."""
    result = dict(base)
    for key, value in change.items():
        below = result.get(key)
        result[key] = (
            merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
        )
    return result
