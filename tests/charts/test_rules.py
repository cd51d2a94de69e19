"""Rules that every object of the chart keeps, whatever the values: security and consistency."""

import re

import pytest

from tests.charts.matrix import (
    CASES,
    MINIMAL,
    NO_CONTEXTS,
    NO_GROUP,
    OWN_CERTIFICATE,
    POLICY_TEXT,
)
from tests.charts.rendering import (
    CHART_FILE,
    Manifest,
    containers,
    merged,
    of_kind,
    pod_templates,
    render,
    stateful_set,
)

pytestmark = pytest.mark.tools

# Pod Security Standards, profile "restricted": the volume types it allows.
RESTRICTED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


@pytest.fixture(params=CASES)
def objects(request: pytest.FixtureRequest) -> list[Manifest]:
    """The chart's objects, for each set of values of the matrix in turn."""
    return render(CASES[request.param])


def test_pods_are_restricted(objects: list[Manifest]) -> None:
    """Every pod satisfies the profile "restricted", and its root file system is read-only."""
    for template in pod_templates(objects):
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert {next(iter(v.keys() - {"name"})) for v in pod["volumes"]} <= RESTRICTED_VOLUMES
    for container in containers(objects):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert not {"privileged", "procMount"} & context.keys()
        assert all("hostPort" not in port for port in container["ports"])


def test_no_user_id_is_fixed(objects: list[Manifest]) -> None:
    """Platforms that choose the user id refuse a fixed one."""
    contexts = [template["spec"]["securityContext"] for template in pod_templates(objects)]
    contexts += [container["securityContext"] for container in containers(objects)]
    assert all(not {"runAsUser", "runAsGroup"} & context.keys() for context in contexts)


def test_null_takes_the_contexts_out() -> None:
    """A platform that chooses the group finds none, by one key or by the whole context."""
    (template,) = pod_templates(render(NO_GROUP))
    assert "fsGroup" not in template["spec"]["securityContext"]
    assert template["spec"]["securityContext"]["runAsNonRoot"] is True
    (template,) = pod_templates(render(NO_CONTEXTS))
    assert "securityContext" not in template["spec"]
    assert "securityContext" not in template["spec"]["containers"][0]


def test_no_secret_is_made_or_put_into_a_variable(objects: list[Manifest]) -> None:
    """Secrets are read from files; the chart renders none, and no variable carries one."""
    assert of_kind(objects, "Secret") == []
    for container in containers(objects):
        assert "envFrom" not in container
        assert "args" not in container
        for variable in container["env"]:
            assert variable.keys() == {"name", "value"}
        assert container["command"] == ["encryption-service", "serve"]


@pytest.mark.parametrize("case", CASES)
def test_every_mounted_secret_is_named_by_a_value(case: str) -> None:
    """No name of a Secret is made up by the chart, and none that is given is left out."""
    values = CASES[case]
    named = {
        values["rootKey"]["existingSecret"],
        values["tls"]["clientCA"]["existingSecret"],
        values["tls"].get("existingSecret", ""),
        values.get("membership", {}).get("credential", {}).get("existingSecret", ""),
    } - {""}
    (template,) = pod_templates(render(values))
    volumes = template["spec"]["volumes"]
    assert {v["secret"]["secretName"] for v in volumes if "secret" in v} == named


def test_only_the_named_key_of_a_shared_secret_is_mounted() -> None:
    """The pod sees the key it needs and not its neighbours; nobody else in the pod may read it."""
    (template,) = pod_templates(render(merged(MINIMAL, OWN_CERTIFICATE)))
    volumes = {v["name"]: v.get("secret") for v in template["spec"]["volumes"]}
    assert volumes["root-key"]["items"] == [{"key": "root", "path": "root"}]
    assert volumes["vendor-ca"]["items"] == [{"key": "vendor.pem", "path": "vendor.pem"}]
    assert {v["defaultMode"] for v in volumes.values() if v} == {0o440}


def test_mounts_are_directories_of_known_volumes(objects: list[Manifest]) -> None:
    """Each mount has its volume and each volume its mount; subPath would hide renewals."""
    found = stateful_set(objects)
    pod = found["spec"]["template"]["spec"]
    volumes = [v["name"] for v in pod["volumes"]]
    volumes += [v["metadata"]["name"] for v in found["spec"].get("volumeClaimTemplates", [])]
    mounts = pod["containers"][0]["volumeMounts"]
    assert sorted(volumes) == sorted(m["name"] for m in mounts)
    assert all("subPath" not in m for m in mounts)
    assert {m["name"] for m in mounts if not m.get("readOnly")} <= {"data", "tmp", "extra"}


def test_files_that_variables_name_are_mounted(objects: list[Manifest]) -> None:
    """Every path in a variable lies in a mounted directory, and in a key that is mounted there."""
    found = stateful_set(objects)
    pod = found["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    by_path = {m["mountPath"]: m["name"] for m in container["volumeMounts"]}
    sources = {v["name"]: v.get("secret") or v.get("configMap") for v in pod["volumes"]}
    for variable in container["env"]:
        if variable["name"].endswith("_FILE"):
            folder, _, file = variable["value"].rpartition("/")
            assert file in {item["path"] for item in sources[by_path[folder]]["items"]}
        elif variable["name"].endswith("_DIR"):
            mount, _, below = variable["value"].rpartition("/")
            assert by_path[mount] == "data"
            assert below


def test_a_changed_policy_restarts_nothing() -> None:
    """The text is in a ConfigMap that is mounted whole; the pod template does not depend on it."""
    now = merged(MINIMAL, {"policy": {"inline": POLICY_TEXT}})
    then = merged(MINIMAL, {"policy": {"inline": POLICY_TEXT.replace("false", "true")}})
    (before,), (after,) = (of_kind(render(values), "ConfigMap") for values in (now, then))
    assert before["data"] == {"policy.yaml": POLICY_TEXT}
    assert after["data"] != before["data"]
    assert list(pod_templates(render(now))) == list(pod_templates(render(then)))


def test_metrics_have_a_port_of_their_own() -> None:
    """Named for whoever scrapes pods; in no Service, like the probes' port."""
    (container,) = containers(render(merged(MINIMAL, {"metrics": {"enabled": True}})))
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"tls-grpc": 8443, "health": 8081, "metrics": 9090}
    (container,) = containers(render(MINIMAL))
    assert {port["name"] for port in container["ports"]} == {"tls-grpc", "health"}


def test_selectors_match(objects: list[Manifest]) -> None:
    """Services and the StatefulSet find the pod, whatever labels the values add."""
    found = stateful_set(objects)
    labels = found["spec"]["template"]["metadata"]["labels"].items()
    assert found["spec"]["selector"]["matchLabels"].items() <= labels
    services = {s["metadata"]["name"]: s["spec"] for s in of_kind(objects, "Service")}
    assert all(spec["selector"].items() <= labels for spec in services.values())
    assert services[found["spec"]["serviceName"]]["clusterIP"] == "None"
    assert "app.kubernetes.io/version" not in found["spec"]["selector"]["matchLabels"]


def test_services_lead_to_the_grpc_port_alone(objects: list[Manifest]) -> None:
    """The ports for the kubelet and for metrics are the pod's alone: no Service leads to them."""
    (container,) = containers(objects)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports["tls-grpc"] == 8443
    targets = [p["targetPort"] for s in of_kind(objects, "Service") for p in s["spec"]["ports"]]
    assert set(targets) == {"tls-grpc"}


def test_probes_ask_the_health_port(objects: list[Manifest]) -> None:
    """Startup, liveness and readiness are probed over plain HTTP where the service listens."""
    (container,) = containers(objects)
    variables = {v["name"]: v["value"] for v in container["env"]}
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert variables["GROUPSEAL_SERVICE_HEALTH_LISTEN"] == f"0.0.0.0:{ports['health']}"
    paths = {
        probe: container[probe]["httpGet"]["path"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
        if container[probe]["httpGet"]["port"] == "health"
    }
    assert paths == {
        "startupProbe": "/livez",
        "livenessProbe": "/livez",
        "readinessProbe": "/readyz",
    }


def test_resources_and_grace_are_set(objects: list[Manifest]) -> None:
    """Requests and a memory limit are there; draining ends before the grace period does."""
    for container in containers(objects):
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert container["resources"]["limits"].keys() == {"memory"}
    for template in pod_templates(objects):
        (container,) = template["spec"]["containers"]
        drain = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {"seconds": 0})
        assert drain["seconds"] < template["spec"]["terminationGracePeriodSeconds"]


def test_images_are_exact(objects: list[Manifest]) -> None:
    """Every image has a digest, or a tag that is not `latest`."""
    for container in containers(objects):
        assert re.search(r"(@sha256:[0-9a-f]{64}|/[^/:@]+:(?!latest$)[\w.-]+)$", container["image"])


def test_pods_get_no_credentials_of_the_cluster(objects: list[Manifest]) -> None:
    """No token is mounted, and no Service's address becomes one of the service's settings."""
    for template in pod_templates(objects):
        assert template["spec"]["automountServiceAccountToken"] is False
        assert template["spec"]["enableServiceLinks"] is False
    for account in of_kind(objects, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_objects_carry_the_common_labels(objects: list[Manifest]) -> None:
    """Every object names its chart, release and manager, and lies in the release's namespace."""
    for found in objects:
        labels = found["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "seal"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert labels["helm.sh/chart"] == f"encryption-service-{CHART_FILE['version']}"
        assert found["metadata"]["namespace"] == "security"


def test_names_fit_for_the_longest_release_name() -> None:
    """Helm allows 53 characters; Kubernetes allows 63, revision hash and suffix included."""
    objects = render(MINIMAL, release="r" * 53)
    assert all(len(found["metadata"]["name"]) <= 63 for found in objects)
    assert len(stateful_set(objects)["metadata"]["name"]) + len("-0123456789") <= 63
    names = [found["metadata"]["name"] for found in of_kind(objects, "Service")]
    assert len(set(names)) == 2


def test_data_outlives_the_release_unless_said_otherwise() -> None:
    """Uninstalling keeps the volume by default; scaling never deletes it."""
    policy = stateful_set(render(MINIMAL))["spec"]["persistentVolumeClaimRetentionPolicy"]
    assert policy == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    gone = merged(MINIMAL, {"storage": {"sqlite": {"retain": False}}})
    policy = stateful_set(render(gone))["spec"]["persistentVolumeClaimRetentionPolicy"]
    assert policy == {"whenDeleted": "Delete", "whenScaled": "Retain"}
