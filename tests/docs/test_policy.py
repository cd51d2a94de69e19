"""docs/policy.md: its example is a policy, its commands do what it says, its table is complete."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
import yaml

from encryption_api import encryption_pb2 as pb
from encryption_service.policy.model import PolicyModel
from encryption_service.policy.parse import parse_policy
from encryption_service.policy.policy import DEFAULT_POLICY
from groupseal.identifiers import key_fingerprint
from groupseal.reasons import Reason
from tests.support.approving import run_answering
from tests.support.devices import Device
from tests.support.service import ServiceProcess
from tests.support.vendor import Vendor, some_id
from tests.support.waiting import wait_for

_GUIDE = (Path(__file__).parents[2] / "docs" / "policy.md").read_text()


def test_the_example_is_a_policy_that_says_what_the_table_says() -> None:
    """It loads, and without its rules it is the default."""
    (example,) = re.findall(r"^```yaml\n(.*?)^```$", _GUIDE, re.MULTILINE | re.DOTALL)
    found = parse_policy(example.encode())
    assert found.group_rule(some_id(), ["Finance Berlin"]).approvals == 2
    assert not found.group_rule(some_id(), ["Test 1"]).allowed
    document = yaml.safe_load(example)
    for field in ("protected", "approvers", "limits", "suites"):
        del document[field]
    del document["groups"]["deny"]
    assert parse_policy(yaml.safe_dump(document).encode()) == DEFAULT_POLICY


def test_the_table_lists_every_field() -> None:
    """Each field of the model is in the table, by its path."""
    (table,) = re.findall(r"^\| field \|.*?(?=^\n)", _GUIDE, re.MULTILINE | re.DOTALL)
    for field in PolicyModel.model_fields:
        assert f"| `{field}" in table, f"{field} is not in the table"


def test_the_reasons_in_the_guide_are_reasons() -> None:
    """No row of the table names a code that nobody gives."""
    rows = re.findall(r"^\| `([a-z_]+)` \| .+ \| .+ \|$", _GUIDE, re.MULTILINE)
    codes = {str(reason) for reason in Reason}
    assert {"frozen", "group_not_allowed", "approval_needed", "quota_used_up"} <= set(rows)
    assert {row for row in rows if row not in PolicyModel.model_fields} <= codes


class Reader:
    """Somebody who follows the guide at a shell, beside a running service."""

    def __init__(self, service: ServiceProcess, device: Device, group: bytes) -> None:
        self.service = service
        self.folder = service.folder
        self.fingerprint = key_fingerprint(device.key_id)
        programs = str(Path(sys.executable).parent)
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "PATH"},
            **service.environment,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "GROUP": str(UUID(bytes=group)),
            "MEMBER": str(UUID(bytes=device.member)),
            # As much of the fingerprint as tells the key from others.
            "KEY": self.fingerprint[:11],
        }

    def follow(self, section: str) -> str:
        """Types every command of a section; returns what was printed."""
        (text,) = re.findall(
            rf"^##+ {re.escape(section)}\n(.*?)(?=^##|\Z)", _GUIDE, re.MULTILINE | re.DOTALL
        )
        lines = "".join(re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
        script = re.sub(r"^[$>] ", "", lines, flags=re.MULTILINE)
        assert script, f"the section {section} has no commands"
        done = run_answering(
            ["bash", "-euc", script],
            self.fingerprint,
            folder=self.folder,
            environment=self.environment,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceProcess]:
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\n")
    with ServiceProcess(
        tmp_path,
        environment={
            "GROUPSEAL_SERVICE_TRUST_MODE": "approve",
            "GROUPSEAL_SERVICE_POLICY_FILE": str(policy),
        },
    ) as running:
        yield running


@pytest.mark.slow  # three dozen processes
def test_the_guides_commands_do_what_it_says(service: ServiceProcess) -> None:
    """From an offered key over two approvals into a protected group, to a lost device."""
    with service.channel() as channel:
        vendor = Vendor(channel).read()
        device, group = Device(vendor.organisation), some_id()
        reader = Reader(service, device, group)
        vendor.bind(device.binding(user_name="ada@example.com", external_id="00u1"))
        assert "ada@example.com (00u1)" in reader.follow("Keys in trust mode `approve`")

        reader.follow("Once: keys for the approvers")
        wait_for(
            lambda: "Finance*" in service.run("policy", "show").stdout, 15, "the policy in force"
        )
        reader.follow("Changing it")

        vendor.change(group, [device.member], name=pb.GroupName(display_name="Finance Berlin"))
        vendor.wait_for_hold(group, device.member, Reason.APPROVAL_NEEDED)
        reader.follow("Each time")
        vendor.read_until_granted(group, {device.member})
        vendor.open(device, group)

        assert "frozen by the command" in reader.follow("Freeze")
        reader.follow("Lost and stolen devices")
        vendor.read_until_granted(group, set())


def test_every_command_in_the_table_is_there_and_takes_json() -> None:
    """And every command of these groups is in the table."""
    groups = ("keys", "approvals", "policy", "freeze", "groups", "holds")
    row = re.compile(rf"^\| (`(?:{'|'.join(groups)}) .+?) \| .+ \|$", re.MULTILINE)
    rows = row.findall(_GUIDE)
    named = {" ".join(each.split()[:2]) for one in rows for each in re.findall(r"`(.+?)`", one)}
    from encryption_service.cli import main

    there = set()
    for name in groups:
        group = main.commands[name]
        for below, command in getattr(group, "commands", {}).items():
            there.add(f"{name} {below}")
            assert any("--json" in option.opts for option in command.params), f"{name} {below}"
    assert named == there


def test_the_commands_help_is_printed_without_a_service() -> None:
    """Nothing is connected before a command runs."""
    found = subprocess.run(
        [sys.executable, "-m", "encryption_service", "approvals", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={name: value for name, value in os.environ.items() if "GROUPSEAL" not in name},
    )
    assert "request" in found.stdout
