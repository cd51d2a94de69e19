"""Either side's state is put back to an older one: nothing forks, nobody removed is let in (I6)."""

import json
from collections.abc import Iterator
from uuid import UUID

import pytest

from groupseal.errors import LedgerForkError, LedgerShrunkError
from groupseal.reasons import Reason
from member_client.client import MemberClient
from member_client.errors import NotGrantedError
from tests.faults.backups import (
    VendorBackup,
    Volumes,
    kept_envelopes,
    service_entries,
    vendor_entries,
)
from tests.faults.world import World
from tests.support.folders import server_folder
from tests.support.postgres import RunningPostgres
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
def world(postgres: RunningPostgres, migrated_template: str, redis_url: str) -> Iterator[World]:
    settings = {"GROUPSEAL_SERVICE_ENVELOPE_GRACE_SECONDS": "0"}
    with (
        server_folder("going-back") as folder,
        World(postgres, migrated_template, redis_url, folder, service_settings=settings) as made,
    ):
        yield made


class Team:
    """A group, and people with devices of their own."""

    def __init__(self, world: World, names: str) -> None:
        self.world = world
        self.users = {name: world.tenant.user(f"{name}@example.com") for name in names.split()}
        self.clients: dict[str, MemberClient] = {}
        self.group = ""

    def enrol(self, *names: str) -> None:
        for name in names:
            self.clients[name] = self.world.member(self.users[name])

    def create(self, *names: str) -> None:
        self.group = self.world.okta.create_group("Finance", self.ids(*names))

    def ids(self, *names: str) -> list[str]:
        return [str(self.users[name]) for name in names]

    def open(self, name: str) -> int:
        """The epoch whose key a member opens, newest and open."""
        opened = self.clients[name].open(self.group)
        assert opened.current
        return opened.epoch

    def refusal(self, name: str) -> str:
        """Why a member is served nothing."""
        with pytest.raises(NotGrantedError) as refused:
            self.clients[name].open(self.group)
        return refused.value.reason

    def epochs(self) -> int:
        query = "SELECT max(epoch) FROM epochs WHERE tenant_id = %s AND group_id = %s"
        return int(self.world.tenant.one(query, UUID(self.group)))


def test_a_restored_vendor_lets_nobody_back_in_by_itself(world: World) -> None:
    """The backup is older than an enrolment and three removals, which it has all forgotten.

    The enrolled member is committed again without anybody's doing; each of those who had left is
    held until somebody confirms him: an operator, the identity provider, or a second removal.
    """
    team = Team(world, "ada ben cara dan eve")
    team.enrol("ada", "ben", "dan", "eve")
    team.create("ada", "ben", "cara", "dan", "eve")
    world.wait_until_settled()
    backup = VendorBackup(world)

    team.enrol("cara")
    world.wait_until_settled()
    leavers = ("ben", "dan", "eve")
    world.okta.patch_group(team.group, "Finance", remove=team.ids(*leavers))
    world.wait_until_settled()
    assert team.open("ada") == team.open("cara") == 2
    # The service may have dropped what was acknowledged: it has to be sealed again.
    wait_for(lambda: kept_envelopes(world) == 0, 30, "the dropping of envelopes")
    before = service_entries(world)

    backup.restore()
    wait_for(lambda: vendor_entries(world)[: len(before)] == before, 30, "the reading on")
    world.wait_until_settled()
    assert service_entries(world)[: len(before)] == before
    assert team.epochs() == 2, "what is sealed again is the same epoch"
    assert team.open("ada") == 2
    # The session is newer than the backup, and forgotten; the device and its key are not.
    key_id = team.clients["cara"].key_id
    team.enrol("cara")
    assert team.clients["cara"].key_id == key_id
    assert team.open("cara") == 2
    assert {team.refusal(name) for name in leavers} == {Reason.HELD_AFTER_RESTORE}

    status = world.run("status", check=False)
    assert status.returncode == 1
    assert f"3 waiting: held_after_restore. {Reason.HELD_AFTER_RESTORE.remedy}" in status.stdout
    assert "the database was restored" in status.stdout

    world.run("tenant", "release", "--tenant", str(world.tenant.id), "--user", "ben@example.com")
    world.wait_until_settled()
    assert team.open("ben") == 2
    assert {team.refusal(name) for name in ("dan", "eve")} == {Reason.HELD_AFTER_RESTORE}

    world.okta.put_group(team.group, "Finance", team.ids("ada", "ben", "cara", "dan"))
    world.wait_until_settled()
    assert team.open("dan") == 2
    assert team.refusal("eve") == "not_granted"
    assert world.run("status").returncode == 0
    world.assert_sound()


def test_a_service_on_an_older_volume_stops_and_says_so(world: World) -> None:
    """It goes on by itself once it is started on the newest volume: nothing else is to be done."""
    team = Team(world, "ada ben cara")
    team.enrol("ada", "ben", "cara")
    team.create("ada", "ben")
    world.wait_until_settled()
    volumes = Volumes(world)
    volumes.keep("older")
    old = service_entries(world)

    world.okta.patch_group(team.group, "Finance", remove=team.ids("ben"))
    world.wait_until_settled()
    newest = vendor_entries(world)
    volumes.keep("newest")
    world.wait_until_settled()
    volumes.mount("older")

    def behind() -> bool:
        query = "SELECT service_reason FROM tenants WHERE id = %s"
        return bool(world.tenant.one(query) == Reason.LEDGER_BEHIND)

    wait_for(behind, 30, "the worker's knowing of the older volume")
    customer = world.service_process.run("status", "--json", check=False)
    assert customer.returncode == 1
    shown = json.loads(customer.stdout)
    assert shown["halted_reason"] == Reason.LEDGER_BEHIND
    assert shown["remedy"] == Reason.LEDGER_BEHIND.remedy
    assert f"a signed head of {len(newest)} entries" in shown["halted_detail"]
    vendor = world.run("status", check=False)
    assert vendor.returncode == 1
    assert f"ledger_behind. {Reason.LEDGER_BEHIND.remedy}" in vendor.stdout

    # While it is so, and after another start: nothing is written, nobody comes in.
    world.okta.patch_group(team.group, "Finance", add=team.ids("cara"))
    world.stop("service")
    world.start("service")
    attempts = "SELECT service_failures FROM tenants WHERE id = %s"
    failures = int(world.tenant.one(attempts))
    wait_for(lambda: int(world.tenant.one(attempts)) > failures, 30, "another attempt")
    assert behind()
    status = json.loads(world.run("status", "--json", check=False).stdout)
    (group,) = status["tenants"][0]["groups"]
    assert group["dirty"]
    assert service_entries(world) == old
    assert vendor_entries(world) == newest
    assert team.open("ada") == 2
    assert team.refusal("ben") == "not_granted"
    assert team.refusal("cara") in {Reason.QUEUED, Reason.LEDGER_BEHIND}

    volumes.mount("newest")
    world.wait_until_settled()
    assert vendor_entries(world)[: len(newest)] == newest
    assert team.open("ada") == team.open("cara") == 2
    assert team.refusal("ben") == "not_granted"
    assert world.run("status").returncode == 0
    world.assert_sound()


def test_what_both_sides_have_forgotten_their_members_remember(world: World) -> None:
    """Vendor and service go back together, to before a removal: they agree, and cannot know.

    Whoever has seen the newer ledger refuses the older one, and then the history that grows from
    it: reads and writes nothing, and says why. (A head kept by the customer tells the service
    itself; that belongs to the restoring of a service.)
    """
    team = Team(world, "ada ben cara")
    team.enrol("ada", "ben", "cara")
    team.create("ada", "ben")
    world.wait_until_settled()
    backup, volumes = VendorBackup(world), Volumes(world)
    world.wait_until_settled()
    volumes.keep("older")
    world.okta.patch_group(team.group, "Finance", remove=team.ids("ben"))
    world.wait_until_settled()
    assert team.open("ada") == 2
    seen = len(vendor_entries(world))

    world.stop("worker")
    volumes.mount("older")
    backup.restore()
    ada = team.clients["ada"]
    actions = (ada.sync, lambda: ada.open(team.group), lambda: ada.share(team.group, b"secret"))
    for action in actions:
        with pytest.raises(LedgerShrunkError):
            action()

    world.okta.patch_group(team.group, "Finance", add=team.ids("cara"))
    world.wait_until_settled()
    assert len(vendor_entries(world)) == seen, "as long as the ledger that was seen"
    for action in actions:
        with pytest.raises(LedgerForkError):
            action()
    world.assert_sound()
