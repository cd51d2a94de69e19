"""The vendor's side is complete without the code that seals, opens or unseals."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import httpx
import pytest

from embedded.ports import free_port
from tests.support.waiting import wait_for

_PROJECT = Path(__file__).parents[2]
_VENDOR = ("groupseal", "encryption_api", "directory", "scim_gateway", "worker")
_ELSEWHERE = ("encryption_service", "member_client", "embedded")


class VendorInstallation:
    """A copy of the vendor's packages; nothing else of this project can be imported in it.

    Without `site` (-S) the project's own editable installation is not on the path; the libraries
    are put there by hand.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        for package in _VENDOR:
            shutil.copytree(
                _PROJECT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__")
            )
        libraries = sysconfig.get_paths()["purelib"]
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("GROUPSEAL_")},
            **environment,
            "PYTHONPATH": os.pathsep.join((str(folder), libraries)),
            "PYTHONSAFEPATH": "1",
        }

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-S", "-c", "from groupseal.cli import main; main()", *arguments]

    def run(self, *arguments: str) -> str:
        result = subprocess.run(
            self.command(*arguments),
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, f"{arguments}: {result.stdout}{result.stderr}"
        return result.stdout

    def python(self, code: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-S", "-c", code],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def vendor(tmp_path: Path, database_url: str, redis_url: str) -> VendorInstallation:
    folder = tmp_path / "vendor"
    folder.mkdir()
    return VendorInstallation(
        folder,
        {
            "GROUPSEAL_DATABASE_URL": database_url,
            "GROUPSEAL_REDIS_URL": redis_url,
            "GROUPSEAL_AUTHORITY_DIR": str(tmp_path / "authority"),
            "GROUPSEAL_GATEWAY_LISTEN": f"127.0.0.1:{free_port()}",
        },
    )


@pytest.mark.parametrize("package", _ELSEWHERE)
def test_the_sealing_and_opening_sides_are_not_there(
    vendor: VendorInstallation, package: str
) -> None:
    """What the other tests here show would mean nothing if these could be imported."""
    result = vendor.python(f"import {package}")
    assert "ModuleNotFoundError" in result.stderr


def test_every_vendor_module_imports_without_them(vendor: VendorInstallation) -> None:
    """No module of the vendor's needs a module of the customer's or the member's."""
    result = vendor.python(
        "import importlib, pkgutil\n"
        f"for name in {_VENDOR!r}:\n"
        "    package = importlib.import_module(name)\n"
        "    for found in pkgutil.walk_packages(package.__path__, name + '.'):\n"
        "        if '.migrations.' not in found.name and not found.name.endswith('__main__'):\n"
        "            importlib.import_module(found.name)\n"
    )
    assert result.returncode == 0, result.stderr


def test_the_vendor_serves_scim_and_works_without_them(vendor: VendorInstallation) -> None:
    """Tenant, gateway and worker run, and a user pushed over SCIM is stored."""
    vendor.run("authority", "create", "--out", vendor.environment["GROUPSEAL_AUTHORITY_DIR"])
    tenant = json.loads(vendor.run("tenant", "create", "--name", "customer", "--json"))
    base = f"http://{vendor.environment['GROUPSEAL_GATEWAY_LISTEN']}"
    processes = [
        subprocess.Popen(
            vendor.command(name),
            env=vendor.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for name in ("gateway", "worker", "sweeper")
    ]
    try:

        def serving() -> bool:
            assert all(process.poll() is None for process in processes), [
                process.stderr.read().decode()
                for process in processes
                if process.poll() is not None and process.stderr
            ]
            try:
                return httpx.get(f"{base}/readyz").status_code == 200
            except httpx.TransportError:
                return False

        wait_for(serving, 30, "the gateway's readiness")
        answer = httpx.post(
            f"{base}/scim/v2/Users",
            headers={"Authorization": f"Bearer {tenant['scim_token']}"},
            json={
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
                "userName": "ada@example.com",
                "active": True,
            },
        )
        assert answer.status_code == 201, answer.text
        status = json.loads(vendor.run("status", "--json"))
        assert tenant["tenant_id"] in json.dumps(status)
        assert all(process.poll() is None for process in processes)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)
            if process.stderr:
                process.stderr.close()
