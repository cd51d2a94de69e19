"""The story that the demo tells: each step does something real, checks it, and says so.

A step raises DemoError where its claim does not hold.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

import psycopg
import redis

from embedded.demo_members import Opened, all_at_once, fingerprint_of
from embedded.demo_programs import DemoError
from embedded.demo_screen import Chapter, Step, Told
from embedded.demo_world import SOON, World
from groupseal.pairing import open_identity
from groupseal.reasons import Reason
from groupseal.shared_items import SharedItem

_PEOPLE = ("Ada", "Ben", "Cara", "Dan", "Eve", "Finn")
_EARLY = ("Ada", "Ben", "Cara", "Dan", "Eve")
_WIZARD, _CATALOGUE, _SMALL = "Finance", "Design", "Board"
_ROSTERS = {
    _WIZARD: ("Ada", "Ben", "Cara", "Dan"),
    _CATALOGUE: ("Cara", "Dan", "Eve", "Finn"),
    _SMALL: ("Ada", "Finn"),
}
_PAIRS = [(name, group) for group, names in _ROSTERS.items() for name in names]
_FIRST_TEXT = "The combination of the safe is in the blue folder."
_SECOND_TEXT = "The combination was changed; it is in the red folder."


def chapters(world: World) -> list[Chapter]:
    """Return the story's chapters up to the search."""

    def step(doing: str, act: Callable[[World], Told]) -> Step:
        return Step(doing, lambda: act(world))

    return [
        Chapter(
            "1  Two sides, one stack",
            [
                step("Starting every component as a process of its own", _start),
                step("Comparing the fingerprints of both sides", _pair),
            ],
        ),
        Chapter(
            "2  Okta pushes people and groups",
            [
                step("Okta tests the connection", _test_connection),
                step("Okta pushes users", _push_users),
                step("Okta pushes groups in both of its dialects", _push_groups),
            ],
        ),
        Chapter(
            "3  Members get their keys",
            [
                step("Members enrol their devices", _enrol),
                step("Waiting for the memberships' commit", _commit),
                step("Members open their groups", _open),
                step("A member shares something", _share),
            ],
        ),
        Chapter(
            "4  Two people leave",
            [
                step("Okta removes one and deactivates another", _leave),
                step("Waiting for new keys", _rotate),
                step("Sharing something that they must not read", _share_without_them),
            ],
        ),
        Chapter(
            "5  One who was waiting",
            [
                step("Asking why a member waits", _still_waiting),
                step("The member enrols", _enrol_late),
            ],
        ),
        Chapter(
            "6  Redis is wiped",
            [step("Wiping Redis while Okta pushes", _wipe)],
        ),
    ]


def _start(world: World) -> Told:
    ready = world.stack.start()
    world.connect()
    count = sum(len(ids) for ids in ready.processes.values())
    return Told(
        f"{count} processes run here: the vendor's PostgreSQL, Redis, gateway, worker and "
        "sweeper, and the customer's encryption service."
    )


def _pair(world: World) -> Told:
    document = world.stack.customer("identity", "--json").content
    shown_by_customer = open_identity(json.dumps(document)).fingerprint
    if world.operator.fingerprint() != shown_by_customer:
        raise DemoError("The two sides show different fingerprints.")
    return Told(
        f"Both sides show the fingerprint {shown_by_customer}",
        "The vendor follows this customer's signing key and no other.",
    )


def _test_connection(world: World) -> Told:
    world.okta.test_connection()
    return Told("Test Connection passes.")


def _push_users(world: World) -> Told:
    for name in _PEOPLE:
        world.people[name] = world.okta.push_user(f"{name.lower()}@example.com")
    return Told(f"{len(_PEOPLE)} users pushed: {', '.join(_PEOPLE)}.")


def _push_groups(world: World) -> Told:
    people = {group: [world.people[name] for name in names] for group, names in _ROSTERS.items()}
    for group in (_WIZARD, _SMALL):
        world.groups[group] = world.okta.put_group(group, people[group])
    world.groups[_CATALOGUE] = world.okta.create_group(_CATALOGUE)
    world.okta.patch_group(world.groups[_CATALOGUE], add=people[_CATALOGUE])

    for name, state in world.operator.groups().items():
        if state.waiting != {Reason.NO_KEY: len(_ROSTERS[name])}:
            raise DemoError(f"All members of {name} should wait for a key, but are: {state}")
    return Told(
        f"{len(_ROSTERS)} groups pushed: {_WIZARD} and {_SMALL} with PUT of the whole group, "
        f"{_CATALOGUE} with PATCH.",
        f"{len(_PAIRS)} memberships are stored, and none is called done: all are waiting "
        f"({Reason.NO_KEY}), since nobody has a device yet.",
    )


def _enrol(world: World) -> Told:
    world.enrol(*_EARLY)
    return Told(
        f"{', '.join(_EARLY)} enrolled a device each: private keys were made there, public "
        "halves handed in."
    )


def _commit(world: World) -> Told:
    pairs = [pair for pair in _PAIRS if pair[0] in _EARLY]
    expected = {
        _WIZARD: {"committed": 4},
        _CATALOGUE: {"committed": 3, "waiting": 1},
        _SMALL: {"committed": 1, "waiting": 1},
    }
    world.await_members(expected, "Everyone with a device becomes a committed member")
    return Told(
        f"{len(pairs)} of {len(_PAIRS)} memberships went from pushed to committed.",
        "The customer's service sealed each group's secret to each device and put it in its "
        "signed ledger; the vendor committed what it verified there.",
    )


def _open(world: World) -> Told:
    pairs = [pair for pair in _PAIRS if pair[0] in _EARLY]
    world.open(*pairs)
    return Told(
        f"{len(pairs)} openings, verified against the ledger by the members' own clients.",
        "All members of a group hold the same secret, and its public key is the ledger's.",
        [_key_line(group, _newest(world, group)) for group in _ROSTERS],
    )


def _share(world: World) -> Told:
    ada, ben = world.members["Ada"], world.members["Ben"]
    ada.share(world.groups[_WIZARD], _FIRST_TEXT)
    if ben.read(world.groups[_WIZARD]) != [_FIRST_TEXT]:
        raise DemoError("Ben does not read what Ada shared.")
    return Told(f"Ada shared a text to {_WIZARD}; Ben's client read it and verified its sender.")


def _leave(world: World) -> Told:
    remaining = [world.people[name] for name in _ROSTERS[_WIZARD] if name != "Ben"]
    world.okta.put_group(_WIZARD, remaining)
    world.okta.deactivate(world.people["Dan"])
    answered = time.monotonic()
    _refuse_leavers(world, "open")
    return Told(
        f"Okta removed Ben from {_WIZARD} and deactivated Dan: both are refused "
        f"{time.monotonic() - answered:.1f} s later.",
        "A removal waits for nothing: from Okta's answer on they are served nothing.",
    )


def _rotate(world: World) -> Told:
    expected = {_WIZARD: {"committed": 2}, _CATALOGUE: {"committed": 2, "waiting": 1}}
    world.await_members(expected, "Those who stay become members of a new epoch")
    pairs = [("Ada", _WIZARD), ("Cara", _WIZARD), ("Cara", _CATALOGUE), ("Eve", _CATALOGUE)]
    before = {group: _newest(world, group) for group in (_WIZARD, _CATALOGUE)}
    world.open(*pairs)
    after = {group: _newest(world, group) for group in before}
    for group, old in before.items():
        if after[group].epoch <= old.epoch or after[group].group_key == old.group_key:
            raise DemoError(f"{group} has no new key after somebody left: {after[group]}")
    return Told(
        f"{_WIZARD} and {_CATALOGUE} have a new epoch with a new key, which those who stay opened.",
        facts=[_key_line(group, opened) for group, opened in after.items()],
    )


def _share_without_them(world: World) -> Told:
    finance = world.groups[_WIZARD]
    world.members["Ada"].share(finance, _SECOND_TEXT)
    if world.members["Cara"].read(finance)[-1:] != [_SECOND_TEXT]:
        raise DemoError("Cara does not read what Ada shared to the new epoch.")
    _refuse_leavers(world, "read")
    item = _items(world, _WIZARD)[-1]
    held = world.opened["Ben", _WIZARD]
    newest = world.opened["Cara", _WIZARD]
    sealed_to = fingerprint_of(item.group_public_key)
    if sealed_to != newest.group_key or item.epoch != newest.epoch:
        raise DemoError("The new item is not sealed to the new epoch's key.")
    if newest.secret == held.secret or sealed_to == held.group_key:
        raise DemoError("What Ben still holds would open the new item.")
    return Told(
        "Ada shared another text: Cara reads it, Ben and Dan are refused.",
        f"The text is sealed to the key of epoch {item.epoch}. Ben still has what he was given, "
        f"epoch {held.epoch}: it opens what he could read before, and nothing new.",
    )


def _still_waiting(world: World) -> Told:
    groups = world.operator.groups()
    for name in (_CATALOGUE, _SMALL):
        if groups[name].waiting != {Reason.NO_KEY: 1}:
            raise DemoError(f"Finn should wait for a key in {name}, which is: {groups[name]}")
    return Told(
        f"Finn is in {_CATALOGUE} and {_SMALL} and still waits. Reason: {Reason.NO_KEY}.",
        f"Whoever asks is told what to do: {Reason.NO_KEY.remedy}",
    )


def _enrol_late(world: World) -> Told:
    world.enrol("Finn")
    pairs = [("Finn", _CATALOGUE), ("Finn", _SMALL)]
    expected = {_CATALOGUE: {"committed": 3}, _SMALL: {"committed": 2}}
    world.await_members(expected, "Finn becomes a committed member")
    world.open(*pairs)
    if world.opened["Finn", _CATALOGUE] != world.opened["Eve", _CATALOGUE]:
        raise DemoError("Finn does not hold the key that Eve holds.")
    return Told("Finn enrolled, was let in without anybody's help, and opened both groups.")


def _wipe(world: World) -> Told:
    with _flood_of_wipes(world) as wipes:
        world.okta.patch_group(world.groups[_WIZARD], add=[world.people["Eve"]])
    answered = time.monotonic()
    world.await_members({_WIZARD: {"committed": 3}}, f"Eve becomes a member of {_WIZARD}")
    seconds = time.monotonic() - answered
    world.open(("Eve", _WIZARD))
    if world.members["Eve"].read(world.groups[_WIZARD])[-1:] != [_SECOND_TEXT]:
        raise DemoError("Eve does not read what was shared before she came.")
    return Told(
        f"Redis was wiped {len(wipes)} times while Okta added Eve to {_WIZARD}: she was committed "
        f"{seconds:.1f} s later and reads what is there.",
        "Jobs are hints: what is to be done is in PostgreSQL, and the sweeper finds it.",
    )


@contextmanager
def _flood_of_wipes(world: World) -> Iterator[list[None]]:
    """Wipe Redis again and again, before, during and after what the block does."""
    wipes: list[None] = []
    first, over = Event(), Event()

    def flood() -> None:
        with redis.Redis.from_url(world.stack.ready.redis_url) as client:
            while not over.wait(0.002):
                client.flushall()
                wipes.append(None)
                first.set()
            client.flushall()
            wipes.append(None)

    thread = Thread(target=flood, daemon=True)
    thread.start()
    if not first.wait(SOON):
        raise DemoError("Redis could not be wiped.")
    try:
        yield wipes
    finally:
        over.set()
        thread.join(SOON)


def _refuse_leavers(world: World, command: str) -> None:
    leavers = [world.members["Ben"], world.members["Dan"]]
    all_at_once(lambda member: member.must_be_refused(command, world.groups[_WIZARD]), leavers)


def _items(world: World, group: str) -> list[SharedItem]:
    """Return what the vendor stored of a group's shared items, oldest first."""
    with psycopg.connect(world.stack.ready.database_url) as connection:
        rows = connection.execute(
            "SELECT body FROM shared_items WHERE group_id = %s ORDER BY created_at, id",
            (world.groups[group].id,),
        ).fetchall()
    return [SharedItem.from_bytes(bytes(body)) for (body,) in rows]


def _newest(world: World, group: str) -> Opened:
    """Return what a member opened of the newest epoch that any of them has seen."""
    seen = [opened for (_, name), opened in world.opened.items() if name == group]
    return max(seen, key=lambda opened: opened.epoch)


def _key_line(group: str, opened: Opened) -> str:
    return f"{group:<8} epoch {opened.epoch}, public key {opened.group_key}"
