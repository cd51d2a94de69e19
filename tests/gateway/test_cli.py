"""The vendor's commands, as an operator runs them."""

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from directory.migrating import newest_revision
from embedded.child_process import environment_with
from tests.support.scim_client import ScimClient


class Command:
    """`groupseal` with the environment of one database."""

    def __init__(self, **environment: str) -> None:
        self._environment = environment_with(**environment)

    def run(self, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Runs it; the exit status must be the expected one."""
        done = subprocess.run(
            [Path(sys.executable).with_name("groupseal"), *arguments],
            env=self._environment,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def json(self, *arguments: str, status: int = 0) -> Any:
        """The same with `--json`."""
        return json.loads(self.run(*arguments, "--json", status=status).stdout)


@pytest.fixture
def groupseal(database_url: str, redis_url: str) -> Command:
    """The command on the test's database."""
    return Command(GROUPSEAL_DATABASE_URL=database_url, GROUPSEAL_REDIS_URL=redis_url)


def test_a_tenant_is_created_once(groupseal: Command) -> None:
    """Id and token as JSON; the token is stored nowhere; the name is unique."""
    made = groupseal.json("tenant", "create", "--name", "Example")
    assert set(made) == {"tenant_id", "scim_token"}
    assert made["scim_token"].startswith("gs_scim_")
    assert "already" in groupseal.run("tenant", "create", "--name", "Example", status=1).stderr
    (shown,) = groupseal.json("tenant", "status", "Example")["tenants"]
    assert shown["tenant_id"] == made["tenant_id"]
    assert shown["state"] == "new"
    assert made["scim_token"] not in json.dumps(shown)
    text = groupseal.run("tenant", "status", made["tenant_id"]).stdout
    assert "groupseal tenant connect" in text
    assert "no tenant" in groupseal.run("tenant", "status", "Nobody", status=1).stderr


def test_status_says_what_is_pending_and_why(groupseal: Command, scim: ScimClient) -> None:
    """Exit status 1 and the reason for what waits; 0 when nothing does."""
    groupseal.run("status")
    ada = scim.create_user("ada@example.com")
    scim.create_group("Finance", [ada, "00u-unknown"])
    shown = groupseal.json("status", status=1)
    (tenant,) = shown["tenants"]
    (group,) = tenant["groups"]
    assert shown["pending"] is tenant["pending"] is True
    assert tenant["dirty_groups"] == 1
    assert tenant["pending_since"] == group["dirty_since"]
    assert group["display_name"] == "Finance"
    assert group["memberships"] == {"waiting": 1}
    assert group["waiting"] == {"no_key": 1}
    assert group["unknown_members"] == tenant["unknown_members"] == 1
    scim.execute("UPDATE unresolved_members SET since = since - interval '3 hours'")
    (group,) = groupseal.json("status", status=1)["tenants"][0]["groups"]
    (row,) = scim.rows("SELECT since FROM unresolved_members")
    assert datetime.fromisoformat(group["unknown_since"]) == row.since
    text = groupseal.run("status", "--tenant", "tenant", status=1).stdout
    assert "1 waiting: no_key" in text
    assert "enrolment-code create" in text
    assert "1 pushed members are not known, the oldest for 3 h" in text
    scim.execute("UPDATE groups SET reconciled_version = desired_version")
    scim.execute("DELETE FROM unresolved_members")
    scim.execute("UPDATE memberships SET wanted = false, desired = false")
    assert groupseal.json("status")["pending"] is False
    assert groupseal.json("status")["tenants"][0]["groups"] == []
    assert len(groupseal.json("status", "--all")["tenants"][0]["groups"]) == 1


def test_status_is_not_well_while_a_service_is_down(groupseal: Command, scim: ScimClient) -> None:
    """Although no group waits for it: exit status 1."""
    groupseal.run("status")
    scim.execute("UPDATE tenants SET service_down_since = now(), service_reason = 'ledger_behind'")
    (tenant,) = groupseal.json("status", status=1)["tenants"]
    assert tenant["service_reason"] == "ledger_behind"


def test_an_enrolment_code(groupseal: Command, scim: ScimClient) -> None:
    """By userName in any case or by id; 100 bits in four groups of five."""
    ada = scim.create_user("ada@example.com")
    for user in ("Ada@Example.com", ada):
        made = groupseal.json("enrolment-code", "create", "--tenant", "tenant", "--user", user)
        assert made["member_id"] == ada
        assert [len(part) for part in made["code"].split("-")] == [5, 5, 5, 5]
        assert made["expires_at"].endswith("+00:00")
    missing = groupseal.run(
        "enrolment-code", "create", "--tenant", "tenant", "--user", "nobody", status=1
    )
    assert "push it first" in missing.stderr


def test_held_members_are_released(groupseal: Command, scim: ScimClient) -> None:
    """All, or those of one group and user; an inactive user stays out."""
    ada, grace = scim.create_users(2)
    finance, sales = (scim.create_group(name, [ada, grace]) for name in ("Finance", "Sales"))
    scim.execute("UPDATE memberships SET held_reason = 'held_after_restore', wanted = false")
    scim.patch(f"/Users/{grace}", {"op": "replace", "value": {"active": False}})
    shown = groupseal.json("status", status=1)["tenants"][0]["groups"]
    assert {group["display_name"]: group["waiting"] for group in shown} == {
        "Finance": {"held_after_restore": 2},
        "Sales": {"held_after_restore": 2},
    }
    one = ("--group", "finance", "--user", "user0@example.com")
    assert groupseal.json("tenant", "release", "--tenant", "tenant", *one) == {"released": 1}
    assert (scim.wanted(finance), scim.wanted(sales)) == ({ada}, set())
    assert groupseal.json("tenant", "release", "--tenant", "tenant") == {"released": 3}
    assert (scim.wanted(finance), scim.wanted(sales)) == ({ada}, {ada})
    assert len(scim.rows("SELECT 1 FROM timeline WHERE kind = 'released'")) == 4


def test_migrate_twice_and_before_it(empty_database_url: str, redis_url: str) -> None:
    """The second finds nothing to do; without tables, commands say what to run."""
    command = Command(GROUPSEAL_DATABASE_URL=empty_database_url, GROUPSEAL_REDIS_URL=redis_url)
    assert "groupseal migrate" in command.run("status", status=1).stderr
    assert f"is at {newest_revision()} now" in command.run("migrate").stdout
    assert f"was at {newest_revision()}" in command.run("migrate").stdout


def test_fsck_finds_nothing_in_what_the_gateway_writes(
    groupseal: Command, scim: ScimClient
) -> None:
    """Pushes, (de)activation, deletion: every invariant holds."""
    users = scim.create_users(4)
    group = scim.create_group("Finance", users)
    scim.patch(f"/Users/{users[0]}", {"op": "replace", "value": {"active": False}})
    scim.send("DELETE", f"/Users/{users[1]}")
    scim.put_group(group, "Finance", users[:3])
    scim.send("DELETE", f"/Groups/{scim.create_group('Sales', users[2:])}")
    assert groupseal.json("fsck") == {"findings": []}


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, ["GROUPSEAL_DATABASE_URL", "not set"]),
        ({"GROUPSEAL_DATABASE_URL": "mysql://u:hidden@h/d"}, ["postgresql://"]),
        (
            {"GROUPSEAL_DATABASE_URL": "postgresql://h/d", "GROUPSEAL_REDIS_URL": "x:hidden"},
            ["GROUPSEAL_REDIS_URL", "redis://"],
        ),
    ],
)
def test_a_bad_setting_names_the_variable(environment: dict[str, str], words: list[str]) -> None:
    """Status 2, the variable and what it may be; never its value, which may hold a password."""
    told = Command(**environment).run("status", status=2).stderr
    for word in words:
        assert word in told
    assert "hidden" not in told


def test_an_unreachable_database_is_status_4() -> None:
    """With the variable to check."""
    command = Command(GROUPSEAL_DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")
    assert "GROUPSEAL_DATABASE_URL" in command.run("status", status=4).stderr


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("GROUPSEAL_GATEWAY_LISTEN", "here", "HOST:PORT"),
        ("GROUPSEAL_GATEWAY_WORKERS", "many", "integer"),
        ("GROUPSEAL_GATEWAY_THREADS", "0", "greater than or equal to 1"),
        ("GROUPSEAL_GATEWAY_PUBLIC_URL", "ftp://x", "https://"),
        ("GROUPSEAL_LOG_LEVEL", "loud", "WARNING"),
    ],
)
def test_a_bad_setting_of_the_gateway(name: str, value: str, word: str) -> None:
    """It does not start, and says why."""
    command = Command(**{"GROUPSEAL_DATABASE_URL": "postgresql://h/d", name: value})
    told = command.run("gateway", status=2).stderr
    assert name in told
    assert word in told
