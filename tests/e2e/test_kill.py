"""Any process may be killed at any moment, and Redis wiped: nothing pushed is lost (I7 to I9)."""

import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from member_client.errors import NotGrantedError
from tests.support.okta import Okta
from tests.support.people import Person, enrol
from tests.support.stack import Stack
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

GROUPS, MEMBERS, PEOPLE, CLIENTS = 20, 50, 60, 4
VICTIMS = ("worker", "gateway", "encryption-service", "redis-contents")


@dataclass
class Pusher:
    """One identity-provider client: pushes its groups step by step and remembers what was acked."""

    okta: Okta
    wizard: bool
    people: list[str]
    dice: random.Random
    rosters: dict[str, tuple[str, set[str]]] = field(default_factory=dict)

    def create(self, name: str) -> None:
        members = set(self.dice.sample(self.people, 10))
        group = self.okta.create_group(name, sorted(members))
        # A repeated creation finds the group by its name, and its members by a full push.
        self.okta.replace_members(group, sorted(members))
        self.rosters[group] = (name, members)

    def grow(self, group: str) -> None:
        """To exactly fifty, with somebody leaving on the way."""
        name, members = self.rosters[group]
        while len(members) < MEMBERS:
            outside = sorted(set(self.people) - members)
            add = set(self.dice.sample(outside, min(8, MEMBERS - len(members), len(outside))))
            leave = {self.dice.choice(sorted(members))} if self.dice.random() < 0.3 else set()
            members = (members - leave) | add
            if self.wizard:
                self.okta.put_group(group, name, sorted(members))
            else:
                self.okta.patch_group(group, name, add=sorted(add), remove=sorted(leave))
            self.rosters[group] = (name, members)


class Killer(threading.Thread):
    """Strikes at random moments until it is told to stop, and counts its strikes."""

    def __init__(self, stack: Stack, dice: random.Random) -> None:
        super().__init__(daemon=True)
        self.stack, self.dice = stack, dice
        self.over = threading.Event()
        self.strikes: dict[str, int] = dict.fromkeys(VICTIMS, 0)
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.over.wait(self.dice.uniform(0.2, 1.2)):
                self.strike(self.dice.choice(VICTIMS))
        except BaseException as error:  # shown by the test, which else would not see it
            self.failure = error
            raise

    def strike(self, victim: str) -> None:
        if victim == "redis-contents":
            self.stack.flush_redis()
        else:
            killed = set(self.stack.kill(victim))

            def replaced() -> bool:
                now = self.stack.pids(victim)
                return bool(now) and not killed & set(now)

            wait_for(replaced, 30, f"a new {victim}")
        self.strikes[victim] += 1


def converged(stack: Stack) -> bool:
    """Nothing is pending, says the operator's own command (it exits with 0 only then)."""
    return stack.run("status", "--json", check=False).returncode == 0


def test_every_acknowledged_push_survives_kills_of_everything(tmp_path: Path) -> None:
    """20 groups of 50, four clients, random SIGKILL and FLUSHALL: the end state is exact."""
    seed = time.time_ns()  # shown among the locals of a failure (pytest -l)
    with Stack(tmp_path, "--workers", "2") as stack:
        ready = stack.ready
        oktas = [Okta(ready["scim_base_url"], ready["scim_token"]) for _ in range(CLIENTS)]
        users = {
            oktas[0].create_user(f"member.{n}@example.com"): f"member.{n}@example.com"
            for n in range(PEOPLE)
        }
        people = enrol(stack, users, tmp_path / "homes")

        pushers = [
            Pusher(okta, number % 2 == 0, sorted(users), random.Random(f"{seed}/{number}"))
            for number, okta in enumerate(oktas)
        ]
        killer = Killer(stack, random.Random(f"{seed}/killer"))
        killer.start()

        def push(number: int) -> None:
            mine = pushers[number]
            for index in range(GROUPS // CLIENTS):
                mine.create(f"Group {number}-{index}")
            for group in list(mine.rosters):
                mine.grow(group)

        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(push, range(CLIENTS)))
        # However fast the pushes were, everything is struck at least once while work is under way.
        for victim in VICTIMS:
            if not killer.strikes[victim]:
                killer.strike(victim)
        killer.over.set()
        killer.join(60)
        assert killer.failure is None
        assert all(killer.strikes.values()), killer.strikes

        wait_for(lambda: converged(stack), 120, "convergence", every=0.5)
        rosters = {group: members for p in pushers for group, (_, members) in p.rosters.items()}
        assert len(rosters) == GROUPS
        assert all(len(members) == MEMBERS for members in rosters.values())
        assert_scim_shows(oktas[0], rosters)
        assert_exactly_these_open(people, rosters)
        assert_no_epoch_twice(stack)
        stack.fsck()
        for okta in oktas:
            okta.close()
        for person in people:
            person.client.close()


def assert_scim_shows(okta: Okta, rosters: dict[str, set[str]]) -> None:
    for group, members in rosters.items():
        shown = okta.request("GET", f"/Groups/{group}").json()
        assert {member["value"] for member in shown["members"]} == members


def assert_exactly_these_open(people: list[Person], rosters: dict[str, set[str]]) -> None:
    """Every member opens every group he should, to the same key, and none that he should not."""
    keys: dict[str, set[bytes]] = {group: set() for group in rosters}

    def check(person: Person) -> None:
        person.client.sync()
        for group, members in rosters.items():
            if person.user in members:
                keys[group].add(person.client.open(group).group_public_key)
            else:
                with pytest.raises(NotGrantedError):
                    person.client.open(group)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(check, people))
    assert all(len(found) == 1 for found in keys.values())


def assert_no_epoch_twice(stack: Stack) -> None:
    with stack.database() as connection:
        epochs = connection.execute("SELECT group_id, epoch FROM epochs").fetchall()
    assert len(epochs) == len(set(epochs))
    status = json.loads(stack.run("status", "--json").stdout)
    assert status
