"""The encryption service's chart as helm sees it: lint, schema, refusals, use as a subchart."""

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.charts.matrix import (
    CASES,
    ENTRA,
    IDENTITY,
    MINIMAL,
    NO_CONTEXTS,
    NO_GROUP,
    OKTA,
    OKTA_TOKEN,
)
from tests.charts.rendering import (
    CHART,
    CHART_FILE,
    ROOT,
    HelmRefusedError,
    Manifest,
    Values,
    helm,
    merged,
    of_kind,
    render,
    render_text,
    stateful_set,
)

pytestmark = pytest.mark.tools

GOLDEN = Path(__file__).with_name("golden") / "encryption-service-immutable.yaml"
OLDEST = "1.31.0"
NEWEST = kubernetes_validate.latest_version()


def test_lint_finds_nothing() -> None:
    """`helm lint --strict` passes as shipped and with values."""
    helm("lint", "--strict", str(CHART))
    helm("lint", "--strict", str(CHART), "--values", "-", stdin=yaml.safe_dump(MINIMAL))


def test_chart_says_which_kubernetes_it_needs() -> None:
    """The oldest version that is validated here is the oldest that the chart accepts."""
    assert CHART_FILE["kubeVersion"] == f">={OLDEST}-0"
    render(MINIMAL, kubernetes=OLDEST)
    with pytest.raises(HelmRefusedError, match="kubeVersion"):
        render(MINIMAL, kubernetes="1.30.9")


def test_chart_installs_this_version_of_the_service() -> None:
    """The chart's default image is the one of the project's own version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert CHART_FILE["appVersion"] == project["version"]


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("case", [*CASES, "no contexts"])
def test_objects_are_valid(case: str, version: str) -> None:
    """Every object satisfies Kubernetes' own schema, with unknown fields refused."""
    objects = render(CASES.get(case, NO_CONTEXTS), kubernetes=version)
    assert objects
    for found in objects:
        kubernetes_validate.validate(found, version, strict=True)


def test_validation_refuses_a_misspelt_field() -> None:
    """The check above would notice a misspelt probe."""
    found = stateful_set(render(MINIMAL))
    container = found["spec"]["template"]["spec"]["containers"][0]
    container["readinessProb"] = container.pop("readinessProbe")
    with pytest.raises(kubernetes_validate.ValidationError, match="readinessProb"):
        kubernetes_validate.validate(found, NEWEST, strict=True)


@pytest.mark.parametrize("case", CASES)
def test_rendering_is_deterministic(case: str) -> None:
    """Two renderings are equal to the byte, so a GitOps tool sees no change where there is none."""
    assert render_text(CASES[case]) == render_text(CASES[case])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"unknown": 1}, "additional properties 'unknown' not allowed"),
        ({"tls": {"clientCa": {}}}, "additional properties 'clientCa' not allowed"),
        ({"replicaCount": 2}, "/replicaCount"),
        ({"replicaCount": 0}, "/replicaCount"),
        ({"image": {"digest": "sha256:abc"}}, "/image/digest"),
        ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
        ({"service": {"type": "ExternalName"}}, "/service/type"),
        ({"health": {"port": 8443}}, "/health/port"),
        ({"storage": {"sqlite": {"size": "1 GB"}}}, "/storage/sqlite/size"),
        ({"tls": {"allowedClientIdentities": ["worker"]}}, "/tls/allowedClientIdentities/0"),
        (
            {"tls": {"allowedClientIdentities": [f"{IDENTITY},{IDENTITY}"]}},
            "/tls/allowedClientIdentities/0",
        ),
        ({"tls": {"allowedClientIdentities": ["dns:*.example.com"]}}, "/tls/allowedClient"),
        ({"tls": {"allowedClientIdentities": ["dns:Worker.example.com"]}}, "/tls/allowedClient"),
        ({"trust": {"mode": "trusting"}}, "/trust/mode"),
        ({"trust": {"oidc": {"issuer": "example.okta.com"}}}, "/trust/oidc/issuer"),
        ({"trust": {"oidc": {"clientSecret": "x"}}}, "additional properties 'clientSecret'"),
        ({"membership": {"check": "on"}}, "/membership/check"),
        ({"membership": {"source": "scim"}}, "/membership/source"),
        ({"membership": {"okta": {"token": "x"}}}, "additional properties 'token'"),
        ({"metrics": {"port": 8443}}, "/metrics/port"),
        ({"rootKey": {"key": "../root"}}, "/rootKey/key"),
        ({"wrapProcesses": 0}, "/wrapProcesses"),
        ({"logLevel": "INFO"}, "/logLevel"),
    ],
)
def test_schema_refuses(change: Values, complaint: str) -> None:
    """A misspelt key or an impossible value stops the installation and is named."""
    with pytest.raises(HelmRefusedError) as refused:
        render(merged(MINIMAL, change))
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("change", "named", "remedy"),
    [
        ({"rootKey": {"existingSecret": ""}}, "rootKey.existingSecret", "kubectl create secret"),
        (
            {"tls": {"clientCA": {"existingSecret": ""}}},
            "tls.clientCA.existingSecret",
            "kubectl create secret",
        ),
        (
            {"tls": {"allowedClientIdentities": []}},
            "tls.allowedClientIdentities",
            "spiffe://groupseal/tenant/",
        ),
        (
            {"tls": {"existingSecret": "the-server-certificate"}},
            "tls.serverName",
            "a DNS name in that certificate",
        ),
        ({"trust": {"mode": "oidc"}}, "trust.oidc.issuer", "register a client for this alone"),
        ({"membership": {"check": "enforce"}}, "membership.source is empty", "okta or entra"),
        (
            {"membership": {"source": "okta"}},
            "membership.credential.existingSecret",
            "kubectl create secret",
        ),
        (
            {"membership": {"source": "okta", "credential": {"existingSecret": "x"}}},
            "membership.okta.url",
            "https://example.okta.com",
        ),
        (
            {"membership": {"source": "entra", "credential": {"existingSecret": "x"}}},
            "membership.entra.tenantId",
            "app registration",
        ),
        (
            {"policy": {"inline": "freeze: true", "existingConfigMap": "the-policy"}},
            "policy.inline and policy.existingConfigMap",
            "keep one of them",
        ),
        (
            {"metrics": {"enabled": True, "port": 8081}},
            "metrics.port and health.port",
            "give them two ports",
        ),
        ({"drainSeconds": 60}, "drainSeconds (60)", "raise the latter"),
        ({"image": {"tag": "latest"}}, "image.tag", "image.digest"),
        (
            {"extraEnv": [{"name": "GROUPSEAL_SERVICE_TRUST_MODE", "value": "oidc"}]},
            "extraEnv sets GROUPSEAL_SERVICE_TRUST_MODE",
            "use the value for it",
        ),
    ],
)
def test_chart_refuses_with_the_remedy(change: Values, named: str, remedy: str) -> None:
    """What the schema cannot say well, the chart says itself: what is wrong, and what to do."""
    with pytest.raises(HelmRefusedError) as refused:
        render(merged(MINIMAL, change))
    assert named in str(refused.value)
    assert remedy in str(refused.value)


def test_schema_is_closed() -> None:
    """Every object whose keys are the chart's own refuses others; `global` alone is open."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    open_objects: list[str] = []

    def walk(node: Any, path: str) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("properties"), dict) and node.get("additionalProperties", True):
                open_objects.append(path)
            for key, below in node.items():
                walk(below, f"{path}/{key}")
        elif isinstance(node, list):
            for index, below in enumerate(node):
                walk(below, f"{path}/{index}")

    walk(schema, "")
    # An EnvVar is Kubernetes' object: only its name is looked at here.
    assert open_objects == ["/properties/global", "/properties/extraEnv/items"]


def umbrella(folder: Path, values: Values) -> list[Manifest]:
    """Render the chart as the dependency of a parent chart that passes `values` to it."""
    shutil.copytree(CHART, folder / "charts" / CHART.name)
    (folder / "Chart.yaml").write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v2",
                "name": "umbrella",
                "version": "1.0.0",
                "dependencies": [
                    {
                        "name": CHART.name,
                        "version": CHART_FILE["version"],
                        "condition": f"{CHART.name}.enabled",
                    }
                ],
            }
        )
    )
    return render({"global": {"anything": {"of": "others"}}, CHART.name: values}, chart=folder)


def test_chart_is_a_subchart(tmp_path: Path) -> None:
    """A parent chart may pass globals and switch it on: the closed schema accepts both."""
    objects = umbrella(tmp_path, merged(MINIMAL, {"enabled": True}))
    assert stateful_set(objects)["metadata"]["name"] == "seal-encryption-service"


def test_subchart_is_switched_off(tmp_path: Path) -> None:
    """With its condition false the parent renders nothing of it, incomplete values included."""
    assert umbrella(tmp_path, {"enabled": False}) == []


def test_subchart_can_drop_the_group(tmp_path: Path) -> None:
    """`fsGroup: null` reaches the pod through a parent chart too."""
    (found,) = of_kind(umbrella(tmp_path, NO_GROUP), "StatefulSet")
    assert "fsGroup" not in found["spec"]["template"]["spec"]["securityContext"]


def immutable_fields(found: Manifest) -> Manifest:
    """What Kubernetes refuses to change in a StatefulSet."""
    spec = found["spec"]
    return {
        "name": found["metadata"]["name"],
        "podManagementPolicy": spec["podManagementPolicy"],
        "selector": spec["selector"],
        "serviceName": spec["serviceName"],
        "volumeClaimTemplates": spec["volumeClaimTemplates"],
    }


def released_as(folder: Path, **changes: str) -> Path:
    """A copy of the chart with other entries in its Chart.yaml."""
    later = folder / CHART.name
    shutil.copytree(CHART, later)
    (later / "Chart.yaml").write_text(yaml.safe_dump(CHART_FILE | changes))
    return later


def test_immutable_fields_never_change(tmp_path: Path) -> None:
    """A release that changed one of these could not be upgraded to, ever."""
    golden = yaml.safe_load(GOLDEN.read_text())
    assert immutable_fields(stateful_set(render(MINIMAL))) == golden

    later = released_as(tmp_path, version="9.9.9", appVersion="9.9.9")
    labelled = merged(MINIMAL, {"commonLabels": {"team": "identity"}})
    assert immutable_fields(stateful_set(render(labelled, chart=later))) == golden


def test_a_chart_release_alone_restarts_nothing(tmp_path: Path) -> None:
    """The pod template does not carry the chart's version."""
    later = released_as(tmp_path, version="9.9.9")
    now, then = stateful_set(render(MINIMAL)), stateful_set(render(MINIMAL, chart=later))
    assert now["metadata"]["labels"] != then["metadata"]["labels"]
    assert now["spec"]["template"] == then["spec"]["template"]


def test_notes_show_the_next_steps() -> None:
    """After an installation the notes print the fingerprint command and three steps."""
    notes = helm(
        *("install", "seal", str(CHART), "--namespace", "security", "--dry-run=client"),
        *("--values", "-"),
        stdin=yaml.safe_dump(MINIMAL),
    ).partition("NOTES:")[2]
    inside = (
        "kubectl --namespace security exec statefulset/seal-encryption-service "
        "-c encryption-service -- encryption-service "
    )
    assert f"{inside}fingerprint\n" in notes
    assert f"{inside}identity --json > identity.json\n" in notes
    assert [line[:2] for line in notes.splitlines() if line[:1].isdigit()] == ["1.", "2.", "3."]
    assert IDENTITY in notes


@pytest.mark.parametrize(
    ("values", "said", "not_said"),
    [
        (MINIMAL, 'Trust mode "pin" is vendor-trusted', "vouches"),
        (merged(MINIMAL, OKTA), "https://example.okta.com vouches", "vendor-trusted"),
        (merged(MINIMAL, ENTRA), "encryption-service keys list", "vendor-trusted"),
        (merged(MINIMAL, OKTA_TOKEN), 'Membership check "observe" is vendor-trusted', "vouches"),
    ],
    ids=["pin", "oidc and enforce", "approve and enforce", "observe"],
)
def test_notes_say_who_is_trusted(values: Values, said: str, not_said: str) -> None:
    """Wherever the vendor's word decides, the notes say so; elsewhere they name who decides."""
    notes = helm(
        *("install", "seal", str(CHART), "--namespace", "security", "--dry-run=client"),
        *("--values", "-"),
        stdin=yaml.safe_dump(values),
    ).partition("NOTES:")[2]
    assert said in notes
    assert not_said not in notes
