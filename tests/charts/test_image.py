"""The encryption service's image: what may be in it."""

import re
import subprocess
import sys
from pathlib import Path

from tests.charts.dockerfile import stages_of
from tests.charts.rendering import ROOT

DOCKERFILE = ROOT / "images" / "encryption-service" / "Dockerfile"
FOLDERS = {"groupseal", "encryption_api", "encryption_service"}
REQUIREMENTS = "requirements/service.txt"
BUILD, FINAL = stages_of(DOCKERFILE)


def test_lint_finds_nothing() -> None:
    """hadolint has no complaint, not even about style."""
    hadolint = Path(sys.executable).with_name("hadolint")
    assert hadolint.exists(), f"{hadolint} is missing: run 'make install'"
    done = subprocess.run(
        [str(hadolint), "--no-color", "--failure-threshold", "style", str(DOCKERFILE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_only_three_folders_are_copied() -> None:
    """No vendor package, no test and no other file can get into the image."""
    copied = [copy.split()[0] for copy in BUILD.all("COPY")]
    assert sorted(copied) == sorted([*FOLDERS, REQUIREMENTS])
    assert FINAL.all("COPY") == ["--from=build /opt/groupseal /opt/groupseal"]
    assert not BUILD.all("ADD") + FINAL.all("ADD")


def test_build_context_is_what_is_copied() -> None:
    """`.dockerignore` lets nothing in but what the Dockerfile copies."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    admitted = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert admitted - {"requirements"} == FOLDERS | {REQUIREMENTS}
    assert rules.index("requirements/*") > rules.index("!requirements")


def test_base_is_exact() -> None:
    """Both stages name an exact tag and a digest that the builder must give."""
    assert "\nARG PYTHON_IMAGE_DIGEST\n" in DOCKERFILE.read_text()
    assert {stage.base for stage in (BUILD, FINAL)} == {
        "python:3.11-slim-bookworm@${PYTHON_IMAGE_DIGEST}"
    }


def test_installation_is_checked_by_hash() -> None:
    """Nothing is installed without its hash and nothing is compiled; pip does not stay."""
    installing = [run for run in BUILD.all("RUN") if " install " in run]
    assert len(installing) == 1
    for option in ("--require-hashes", "--only-binary=:all:", "--no-deps", "--no-cache-dir"):
        assert f" {option} " in installing[0]
    assert all("pip" not in run or "uninstall" in run for run in FINAL.all("RUN"))
    assert all("apt" not in run for run in BUILD.all("RUN") + FINAL.all("RUN"))


def test_process_is_unprivileged_and_stops_on_sigterm() -> None:
    """The user is numeric and not root; the service itself gets the signal."""
    (user,) = FINAL.all("USER")
    assert re.fullmatch(r"[1-9]\d{4,}:[1-9]\d{4,}", user)
    assert FINAL.all("STOPSIGNAL") == ["SIGTERM"]
    assert FINAL.all("ENTRYPOINT") == ['["encryption-service"]']
    assert FINAL.all("CMD") == ['["serve"]']
