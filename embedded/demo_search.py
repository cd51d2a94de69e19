"""The demo's last chapter: nothing that the vendor stored holds a secret, and the proof of that."""

import base64
from collections.abc import Iterator

from embedded.demo_members import all_at_once
from embedded.demo_programs import Answer, DemoError
from embedded.demo_screen import Chapter, Step, Told
from embedded.demo_secrets import root_key
from embedded.demo_world import World
from embedded.secret_search import Finding, Secret, SecretSearch
from embedded.vendor_storage import Stored, files, redis_keys, tables

_SHOWN_FINDINGS = 5


def chapter(world: World) -> Chapter:
    """Return the chapter."""
    return Chapter(
        "7  What does the vendor hold?",
        [
            Step("Searching everything that the vendor stored", lambda: _search(world)),
            Step("Planting a secret to test the search", lambda: _plant(world)),
            Step("Checking both ledgers from their first entry on", lambda: _check(world)),
        ],
    )


def _search(world: World) -> Told:
    world.keep(root_key(world.stack.data.service_root_key))
    search = SecretSearch(world.secrets.values())
    public = {f"{m.name}'s public key": m.public_key() for m in world.members.values()}
    control = SecretSearch(Secret(name, key) for name, key in public.items())
    found: list[Finding] = []
    seen: list[Finding] = []
    places = 0
    for where, content in _vendor(world):
        places += 1
        found += search.in_bytes(where, content)
        seen += control.in_bytes(where, content)
    if found:
        shown = "\n".join(str(finding) for finding in found[:_SHOWN_FINDINGS])
        raise DemoError(f"The vendor holds secrets in clear, at {len(found)} places:\n{shown}")
    if unseen := public.keys() - {finding.secret for finding in seen}:
        raise DemoError(f"The search overlooked what the vendor does hold: {sorted(unseen)}")
    return Told(
        f"{len(world.secrets)} secrets searched for in {search.searched / 1e6:.0f} MB: "
        f"none is there. ({len(public)} public keys searched for likewise: all are there.)",
        "Zero knowledge: the vendor moved every key to its member and never held one.",
        [
            "for: private keys, each epoch's group secret and its derived keys, root key, tokens",
            f"in:  {places} places: tables, database files, Redis, logs, answers to Okta",
            "as:  raw bytes, hexadecimal, base64 in both alphabets at every alignment",
        ],
    )


def _plant(world: World) -> Told:
    log = (world.stack.data.logs / "gateway.log").read_bytes()
    secret = max(world.opened.values(), key=lambda opened: opened.epoch).secret
    search = SecretSearch(world.secrets.values())
    planted = [secret, secret.hex().encode(), secret.hex().upper().encode()]
    for before in range(3):
        inside = bytes(before) + secret + b"more"
        planted += [base64.b64encode(inside), base64.urlsafe_b64encode(inside)]
    found = sum(bool(search.in_bytes("a copy", log + form + log)) for form in planted)
    if found != len(planted):
        raise DemoError(f"Of {len(planted)} planted forms of a secret, only {found} were found.")
    return Told(
        f"A group secret planted in a copy of the gateway's log, in {found} forms: found each time."
    )


def _check(world: World) -> Told:
    sides = {"groupseal": world.stack.operator, "encryption-service": world.stack.customer}

    def check(program: str) -> Answer:
        return sides[program]("fsck", "--json")

    for program, answer in zip(sides, all_at_once(check, sides), strict=True):
        if answer.status != 0:
            raise DemoError(f"`{program} fsck` found: {answer.content or answer.errors}")
    return Told(
        "The vendor's copy and the customer's ledger verify from the first entry to the last."
    )


def _vendor(world: World) -> Iterator[Stored]:
    """Yield what the vendor stored.

    Not the customer's folder, nor `local-tenant.json`: there the stack keeps the SCIM token for
    whoever copies it to the identity provider.
    """
    data, ready = world.stack.data, world.stack.ready
    yield from tables(ready.database_url)
    yield from files([data.postgres])
    yield from redis_keys(ready.redis_url)
    yield from files([data.redis], packed=True)
    yield from files([data.logs, data.authority, world.stack.output])
    for number, answer in enumerate(world.okta.answers, start=1):
        yield f"answer {number} to Okta", answer
