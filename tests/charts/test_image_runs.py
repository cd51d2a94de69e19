"""The image and the chart together, without container or cluster: built, started, probed, stopped.

What this does not show: the base image, the read-only root file system, another user id.
"""

import datetime
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from embedded.ports import free_port
from tests.charts.dockerfile import stages_of
from tests.charts.matrix import MINIMAL
from tests.charts.rendering import ROOT, containers, render
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.tools, pytest.mark.slow, pytest.mark.timeout(300)]

DOCKERFILE = ROOT / "images" / "encryption-service" / "Dockerfile"
START_DEADLINE = 60.0
STOP_DEADLINE = 20.0


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build stage's own instructions, carried out in a folder in place of a container."""
    root = tmp_path_factory.mktemp("image")
    workdir = root / "build"
    workdir.mkdir()
    prefix = root / "opt" / "groupseal"
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    for instruction in stages_of(DOCKERFILE)[0].instructions:
        rest = instruction.rest.replace("/opt/groupseal", str(prefix))
        if instruction.word == "COPY":
            source, target = rest.split()
            destination = workdir / target
            if (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, destination, ignore=ignored)
            else:
                shutil.copy(ROOT / source, destination)
        elif instruction.word == "RUN":
            command = ["/bin/sh", "-euc", rest]
            done = subprocess.run(
                command, cwd=workdir, env={"PATH": path}, capture_output=True, check=False
            )
            assert done.returncode == 0, done.stderr.decode()
        else:
            assert instruction.word == "WORKDIR"
    return prefix


def vendor_ca() -> bytes:
    """A CA certificate in PEM, as the vendor hands it out; its private key is thrown away."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vendor CA")])
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


@pytest.fixture(scope="module")
def variables(built: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables that the chart sets, with volumes and ports of this machine put in."""
    root = tmp_path_factory.mktemp("pod")
    (root / "data").mkdir()  # the volume; what is below it is the service's to make
    for folder, file, content in (
        ("root-key", "root.key", os.urandom(32)),
        ("vendor-ca", "ca.crt", vendor_ca()),
    ):
        # As the kubelet lays a Secret out: the file is a link, so that it can change as a whole.
        (root / "etc" / folder / "..data").mkdir(parents=True)
        (root / "etc" / folder / "..data" / file).write_bytes(content)
        (root / "etc" / folder / "..data" / file).chmod(0o440)
        (root / "etc" / folder / file).symlink_to(Path("..data") / file)
    (container,) = containers(render(MINIMAL))
    found = {v["name"]: v["value"] for v in container["env"]}
    for name, value in found.items():
        moved = value.replace("/etc/groupseal", str(root / "etc"))
        found[name] = moved.replace("/var/lib/groupseal", str(root / "data"))
    found["GROUPSEAL_SERVICE_LISTEN"] = f"127.0.0.1:{free_port()}"
    found["GROUPSEAL_SERVICE_HEALTH_LISTEN"] = f"127.0.0.1:{free_port()}"
    found["PATH"] = f"{built / 'bin'}:/usr/bin:/bin"
    return found


def answer(variables: dict[str, str], path: str) -> int:
    """The status with which the health port answers `path`; 0 if nobody listens."""
    url = f"http://{variables['GROUPSEAL_SERVICE_HEALTH_LISTEN']}{path}"
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


@pytest.fixture(scope="module")
def running(built: Path, variables: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The container's command, started as the chart says and ready."""
    (container,) = containers(render(MINIMAL))
    program = [str(built / "bin" / container["command"][0]), *container["command"][1:]]
    with subprocess.Popen(program, env=variables, cwd="/") as process:

        def ready() -> bool:
            assert process.poll() is None, f"ended with {process.returncode} before it was ready"
            return answer(variables, container["readinessProbe"]["httpGet"]["path"]) == 200

        try:
            wait_for(ready, START_DEADLINE, "readiness")
            yield process
        finally:
            process.kill()


def run(variables: dict[str, str], *arguments: str) -> str:
    """What the image's command prints, run beside the service as `kubectl exec` would."""
    program = shutil.which("encryption-service", path=variables["PATH"])
    assert program
    done = subprocess.run(
        [program, *arguments], env=variables, cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_copied_is_enough(built: Path) -> None:
    """The three folders and the hash-checked wheels run the command, and pip is not there."""
    printed = run({"PATH": f"{built / 'bin'}:/usr/bin:/bin"}, "--help")
    assert "serve" in printed
    assert "fingerprint" in printed
    assert not list(built.glob("bin/pip*"))
    assert not list(built.glob("lib/python*/site-packages/pip*"))


def test_it_becomes_ready_and_stays_alive(
    running: subprocess.Popen[bytes], variables: dict[str, str]
) -> None:
    """With the chart's variables alone the service starts, and every probe's path answers."""
    (container,) = containers(render(MINIMAL))
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert answer(variables, container[probe]["httpGet"]["path"]) == 200


def test_commands_of_the_notes_work(
    running: subprocess.Popen[bytes], variables: dict[str, str]
) -> None:
    """Fingerprint, identity document and store check work beside the running service."""
    assert run(variables, "fingerprint").strip()
    assert isinstance(json.loads(run(variables, "identity", "--json")), dict)
    run(variables, "fsck")


def test_sigterm_ends_it_within_the_grace_period(running: subprocess.Popen[bytes]) -> None:
    """On SIGTERM the service ends by itself, without an error. (Last: it stops the process.)"""
    running.terminate()
    assert running.wait(timeout=STOP_DEADLINE) == 0
