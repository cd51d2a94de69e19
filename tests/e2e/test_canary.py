"""I1, by looking: no secret of the customer's or a member's is anywhere on the vendor's side.

The test derives every secret itself: it unseals the service's store with the root key, and takes
the members' device keys and every epoch they opened. Then it searches whatever the vendor's
processes stored, logged, answered or hold in memory, raw, in hex and in base64 at every alignment.
"""

import base64
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from embedded import vendor_storage
from embedded.secret_search import Finding, Secret, SecretSearch
from encryption_service.group_secrets import SecretVault, derive_key
from encryption_service.keyset import unseal_keyset
from encryption_service.ledger_store import read_service
from encryption_service.root_key.file import FileRootKey
from encryption_service.secret_bytes import SecretBytes
from encryption_service.store import Store
from groupseal.entries import Entry, GroupReconciled
from groupseal.identifiers import identifier_to_text
from groupseal.labels import Label
from groupseal.parts import PartKind
from member_client.home import Home
from member_client.key_file import load_keys
from tests.support.okta import Okta
from tests.support.people import Person, enrol
from tests.support.process_memory import descendants, memory
from tests.support.stack import Stack
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_VENDOR_PROCESSES = ("postgres", "redis", "gateway", "worker", "sweeper")
_DERIVED = (Label.DERIVE_GROUP_KEY, Label.DERIVE_CONTENT_KEY, Label.DERIVE_HISTORY_KEY)


class Life:
    """A stack on which everything has happened that handles secrets."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        ready = stack.ready
        self.okta = Okta(ready["scim_base_url"], ready["scim_token"])
        names = [f"member.{number}@example.com" for number in range(5)]
        self.users = {self.okta.create_user(name): name for name in names}
        self.homes = folder / "homes"
        self.people = enrol(stack, self.users, self.homes)
        self.answers: list[bytes] = []
        self._live()
        self._provoke_errors()

    def _live(self) -> None:
        everyone = list(self.users)
        self.group = self.okta.create_group("Finance", everyone)
        self.settle()
        assert self.people[0].client.open(self.group).epoch == 1
        self.people[1].client.share(self.group, b"an item that is shared")
        self.okta.patch_group(self.group, "Finance", remove=[everyone[4]])
        self.settle()
        self.okta.set_active(everyone[3], False)
        self.settle()
        self.stack.kill("worker")
        self.okta.put_group(self.group, "Treasury", everyone[:3])
        self.settle()
        assert self.people[0].client.open(self.group).epoch == 3
        assert [item.refused for item in self.people[2].client.read(self.group)] == [None]

    def settle(self) -> None:
        wait_for(
            lambda: self.stack.run("status", "--json", check=False).returncode == 0,
            60,
            "a state in which nothing is pending",
            every=0.2,
        )

    def _provoke_errors(self) -> None:
        ready = self.stack.ready
        scim, member = ready["scim_base_url"], ready["member_api_url"]
        with httpx.Client() as http:
            for method, url, body in (
                ("GET", f"{scim}/Users/none", None),
                ("GET", f"{scim}/nowhere", None),
                ("POST", f"{scim}/Groups", {"displayName": 7}),
                ("PATCH", f"{scim}/Groups/{self.group}", {"Operations": [{"op": "melt"}]}),
                ("POST", f"{member}/member/v1/sessions", {"code": "WRONG"}),
                ("POST", f"{member}/member/v1/devices", {"suite": "none"}),
                ("GET", f"{member}/member/v1/groups/{self.group}/grant", None),
                ("GET", f"{member}/healthz", None),
                ("GET", f"{member}/readyz", None),
                ("GET", f"{member}/metrics", None),
            ):
                for token in (ready["scim_token"], "wrong", None):
                    headers = {"Authorization": f"Bearer {token}"} if token else {}
                    answer = http.request(method, url, json=body, headers=headers)
                    self.answers.append(answer.content + repr(answer.headers).encode())
            for path in ("Users", "Groups"):
                headers = {"Authorization": f"Bearer {ready['scim_token']}"}
                self.answers.append(http.get(f"{scim}/{path}", headers=headers).content)
        for person in self.people:
            answer = person.client._api._http.get("/member/v1/ledger", params={"from": 0})
            self.answers.append(answer.content)


def customers_secrets(stack: Stack) -> Iterator[Secret]:
    """Root key, keyset, and every group's secret of every epoch with all that it yields."""
    root = FileRootKey(stack.root_key_file)
    yield Secret("root key", root._key.reveal())
    with Store(Path(stack.ready["service_data"])).reader() as connection:
        service = read_service(connection)
        assert service is not None
        keyset = unseal_keyset(service.sealed_keyset, service.organisation, root)
        yield Secret("signing key", keyset.signing_seed.reveal())
        yield Secret("evidence key", keyset.evidence_seed.reveal())
        yield Secret("authority key", keyset.authority_key.reveal())
        for version, key in keyset.key_encryption_keys.items():
            yield Secret(f"key-encryption key {version}", key.reveal())
        vault = SecretVault(keyset.organisation, keyset.key_encryption_keys)
        rows = connection.execute(
            "SELECT entries.entry, parts.body FROM parts JOIN entries USING (position)"
            " WHERE parts.kind = ?",
            (PartKind.SEALED_SECRET,),
        ).fetchall()
    assert rows
    for data, sealed in rows:
        body = Entry.from_bytes(data).body
        assert isinstance(body, GroupReconciled)
        name = f"epoch {body.epoch} of {identifier_to_text(body.group)}"
        secret = vault.unseal(sealed, body.group, body.epoch)
        yield Secret(f"secret of {name}", secret.reveal())
        for label in _DERIVED:
            derived: SecretBytes = derive_key(
                label, secret, keyset.organisation, body.group, body.epoch
            )
            yield Secret(f"{label.decode()} of {name}", derived.reveal())


def members_secrets(people: list[Person], homes: Path, group: str) -> Iterator[Secret]:
    """Device keys, and the secret of every epoch that a member could open."""
    for person in people:
        keys = load_keys(Home(homes / person.user))
        yield Secret(f"HPKE seed of {person.name}", keys.hpke_seed.reveal())
        yield Secret(f"signing key of {person.name}", keys.signing_seed.reveal())
    for epoch, keys_of_epoch in people[0].client.history(group).items():
        yield Secret(f"epoch {epoch}, as a member opened it", keys_of_epoch.secret.reveal())


def stored(stack: Stack) -> Iterator[vendor_storage.Stored]:
    """Database (rows and files, write-ahead log included), Redis (keys and files), logs."""
    ready = stack.ready
    yield from vendor_storage.tables(ready["database_url"])
    yield from vendor_storage.redis_keys(ready["redis_url"])
    yield from vendor_storage.files([stack.data / "postgres"])
    yield from vendor_storage.files(
        [
            stack.data / "redis",
            stack.data / "authority",
            *(stack.data / "logs" / f"{name}.log" for name in _VENDOR_PROCESSES),
        ],
        packed=True,
    )


def search_memory(search: SecretSearch, stack: Stack) -> list[Finding]:
    found = []
    for name in _VENDOR_PROCESSES:
        for parent in stack.pids(name):
            for pid in descendants(parent):
                for piece in memory(pid):
                    found += search.in_bytes(f"memory of {name} ({pid})", piece)
    return found


def search_stored(search: SecretSearch, life: Life) -> list[Finding]:
    found = [
        finding for where, what in stored(life.stack) for finding in search.in_bytes(where, what)
    ]
    for number, answer in enumerate(life.answers):
        found += search.in_bytes(f"answer {number}", answer)
    return found


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    folder = tmp_path_factory.mktemp("canary")
    with Stack(folder) as stack:
        lived = Life(stack, folder)
        yield lived
        lived.okta.close()
        for person in lived.people:
            person.client.close()


def test_no_secret_is_anywhere_on_the_vendors_side(life: Life) -> None:
    """Database, Redis, logs, answers and memory hold none of them in any form."""
    secrets = [
        *customers_secrets(life.stack),
        *members_secrets(life.people, life.homes, life.group),
    ]
    assert len({secret.value for secret in secrets}) >= 5 * 2 + 3 * 4 + 5
    search = SecretSearch(secrets)
    assert search_stored(search, life) == []
    stored_bytes = search.searched
    assert search_memory(search, life.stack) == []
    # The search has looked at something: a whole cluster, and several processes.
    assert stored_bytes > 10 << 20
    assert search.searched - stored_bytes > 50 << 20


def test_the_tokens_are_not_stored_or_logged_in_clear(life: Life) -> None:
    """What lets one speak to the gateway is kept only as a hash."""
    tokens = [Secret("SCIM token", life.stack.ready["scim_token"].encode())]
    tokens += [
        Secret(f"member token of {person.name}", person.client._session.token.reveal())
        for person in life.people
    ]
    assert search_stored(SecretSearch(tokens), life) == []


@pytest.mark.parametrize(
    "form",
    [
        lambda secret: secret.hex(),
        lambda secret: base64.b64encode(b"x" + secret).decode(),
        lambda secret: base64.urlsafe_b64encode(b"xy" + secret).decode(),
    ],
    ids=["hex", "base64", "base64-url"],
)
def test_the_search_finds_a_secret_that_leaks(life: Life, form: object) -> None:
    """A planted secret is found in the database, its write-ahead log and a process's memory."""
    assert callable(form)
    secret = next(customers_secrets(life.stack))
    life.okta.create_group(f"Leak {form(secret.value)}", [])
    search = SecretSearch([secret])
    where = {finding.source for finding in search_stored(search, life)}
    assert any(source.startswith("table groups") for source in where)
    assert any("pg_wal" in source or "base/" in source for source in where)
    assert any("memory of" in finding.source for finding in search_memory(search, life.stack))


def test_the_search_finds_a_secret_in_redis_and_in_a_log(life: Life) -> None:
    """The same for the two other places in which the vendor keeps things."""
    import redis

    secret = next(customers_secrets(life.stack))
    with redis.Redis.from_url(life.stack.ready["redis_url"]) as client:
        client.set("planted", secret.value)
        search = SecretSearch([secret])
        found = search_stored(search, life)
        client.delete("planted")
    assert any("Redis key planted" in finding.source for finding in found)
    log = life.stack.data / "logs" / "worker.log"
    with log.open("ab") as file:
        file.write(secret.value)
    assert any("worker.log" in finding.source for finding in search_stored(search, life))
