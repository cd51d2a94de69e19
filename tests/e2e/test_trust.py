"""The whole product in trust mode `oidc` with the membership check: what people see of it.

Each story begins with people who enrolled with a sign-in at a real identity provider and groups
that Okta pushed. The tenant is idle whenever something happens at the customer's alone: nothing is
pushed, no command reaches the vendor, and its ledger is read once an hour if nobody says otherwise.
"""

import base64
import json
import secrets
import threading
import time
from collections.abc import Iterator

import pytest

from embedded import vendor_storage
from embedded.secret_search import Secret, SecretSearch
from encryption_service.store import Store
from groupseal.reasons import Reason
from member_client.client import MemberClient
from member_client.provider import IdToken
from member_client.sign_in import SignInManner, SignInRequest
from tests.faults.world import VENDOR
from tests.support.folders import server_folder
from tests.support.identity_provider import IdentityProvider
from tests.support.okta_api import OktaApi
from tests.support.policies import Approver
from tests.support.postgres import RunningPostgres
from tests.support.process_memory import descendants, memory
from tests.support.trusted_world import (
    SECONDS,
    Team,
    TrustedWorld,
    opens,
    seconds_until,
    texts,
)
from tests.support.valkey import RunningValkey
from tests.support.waiting import wait_for

pytestmark = pytest.mark.timeout(240)

ANA, BEN = Approver("ana"), Approver("ben")
PROTECTED = {"protected": [{"match": [{"name": "Board*"}], "approvals": 2}]}


@pytest.fixture(scope="module")
def okta() -> Iterator[OktaApi]:
    with OktaApi(page=50, api_token=f"00{secrets.token_urlsafe(40)}") as api:
        api.limit = None
        yield api


@pytest.fixture(scope="module")
def world(
    postgres: RunningPostgres,
    migrated_template: str,
    shared_valkey: RunningValkey,
    identity_provider: IdentityProvider,
    okta: OktaApi,
) -> Iterator[TrustedWorld]:
    with (
        server_folder("trust") as folder,
        TrustedWorld(
            postgres,
            migrated_template,
            shared_valkey.url,
            folder,
            provider=identity_provider,
            okta=okta,
            approvers=[ANA, BEN],
        ) as running,
    ):
        yield running


@pytest.fixture(autouse=True)
def calm(world: TrustedWorld, okta: OktaApi) -> Iterator[None]:
    """Whatever a story changed for everybody is as before for the next one."""
    yield
    world.set_policy()
    okta.limit = None
    okta.refill_limits()


def show(what: str, seconds: float) -> None:
    """For `pytest -s`, and among the output of a failure."""
    print(f"{what}: {seconds:.1f} s")  # noqa: T201 # the figure is what one wants to read


def test_someone_signs_in_is_pushed_and_opens_the_key(world: TrustedWorld) -> None:
    """The evidence binds the key; the push and Okta's own word let its holder in."""
    (ada,), (client,) = world.enrolled("ada")
    team = world.team("Engineering", ada)
    show("first member committed", world.wait_until_committed(team, ada))
    assert opens(client, team) == 1
    client.share(team.text, b"a first item")
    assert texts(client, team) == [b"a first item"]
    assert "oidc" in client.status().trust.mode.name.lower()


@pytest.mark.slow
def test_whoever_is_on_the_roster_alone_waits_until_okta_says_yes(
    world: TrustedWorld, okta: OktaApi
) -> None:
    """The vendor's word lets nobody in; once Okta agrees, the grant follows by itself."""
    (ada, eve), (at_ada, at_eve) = world.enrolled("ada", "eve")
    team = world.team("Engineering", ada, eve, at_okta=[ada])
    show("the reason", world.wait_for_reason(team, eve, Reason.NOT_IN_SOURCE_GROUP))
    world.wait_until_committed(team, ada)
    assert Reason.NOT_IN_SOURCE_GROUP in world.operator_sees()
    assert (opens(at_ada, team), opens(at_eve, team)) == (1, None)
    okta.join(team.source_id, eve.name)
    show("committed after Okta's yes", world.wait_until_committed(team, ada, eve))
    assert opens(at_eve, team) == 1
    assert world.reason(team, eve) is None


@pytest.mark.slow
def test_whoever_leaves_at_okta_alone_is_rotated_out_and_may_come_back(
    world: TrustedWorld, okta: OktaApi
) -> None:
    """Nobody pushes anything; the vendor asks for him again, and is told to wait, once."""
    (ada, eve), (at_ada, at_eve) = world.enrolled("ada", "eve")
    team = world.team("Engineering", ada, eve)
    world.wait_until_committed(team, ada, eve)
    at_ada.share(team.text, b"before")
    assert texts(at_eve, team) == [b"before"]
    okta.leave(team.source_id, eve.name)
    show("rotated out", world.wait_until_committed(team, ada))
    assert world.epoch(team) == 2
    at_ada.share(team.text, b"after")
    assert texts(at_ada, team) == [b"before", b"after"]
    assert opens(at_eve, team) is None
    show("the reason", world.wait_for_reason(team, eve, Reason.NOT_IN_SOURCE_GROUP))
    quiet(world, team, seconds=4)
    assert world.epoch(team) == 2
    okta.join(team.source_id, eve.name)
    show("let in again", world.wait_until_committed(team, ada, eve))
    assert texts(at_eve, team) == [b"before", b"after"]
    quiet(world, team, seconds=4)
    world.assert_sound()


def quiet(world: TrustedWorld, team: Team, seconds: float) -> None:
    """Looks on for as long, in which whatever goes round would show: time is what is tested."""
    before = world.ledger(), world.claims(team)
    threading.Event().wait(seconds)
    assert (world.ledger(), world.claims(team)) == before, "something goes round"
    assert world.world.tenant.dirty() == []


@pytest.mark.slow
def test_what_the_customer_decides_takes_effect_on_an_idle_tenant(world: TrustedWorld) -> None:
    """Approvals by command, another policy file, a higher limit, the end of a freeze."""
    (ada, eve), (at_ada, at_eve) = world.enrolled("ada", "eve")
    world.set_policy_first(**PROTECTED, groups={"deny": [{"name": "Secret*"}]})

    board = world.team("Board", ada)
    world.wait_for_reason(board, ada, Reason.APPROVAL_NEEDED)
    assert Reason.APPROVAL_NEEDED in world.operator_sees()
    world.approve(ANA, board, at_ada)
    assert world.committed(board) == set()
    world.approve(BEN, board, at_ada)
    show("two approvals", world.wait_until_committed(board, ada))
    assert opens(at_ada, board) == 1

    secret = world.team("Secret", ada, eve)
    world.wait_for_reason(secret, eve, Reason.GROUP_NOT_ALLOWED)
    world.set_policy(**PROTECTED)
    show("another policy", world.wait_until_committed(secret, ada, eve))
    assert opens(at_eve, secret) == 1

    world.set_policy_first(limits={"seals_per_hour_per_group": 1})
    many = world.team("Many", ada, eve)
    wait_for(lambda: len(world.committed(many)) == 1, SECONDS, "the first one")
    (left,) = (each for each in (ada, eve) if each.id not in world.committed(many))
    world.wait_for_reason(many, left, Reason.QUOTA_USED_UP)
    world.set_policy(limits={"seals_per_hour_per_group": 100})
    show("a higher limit", world.wait_until_committed(many, ada, eve))

    world.command("freeze", "on")
    frozen = world.team("Frozen", ada)
    world.wait_for_reason(frozen, ada, Reason.FROZEN)
    world.command("freeze", "off")
    show("no longer frozen", world.wait_until_committed(frozen, ada))
    assert opens(at_ada, frozen) == 1


@pytest.mark.slow
def test_a_lost_laptop_opens_nothing_new(world: TrustedWorld) -> None:
    """All of the member's groups rotate; a fresh sign-in alone does not enter a protected one."""
    world.set_policy_first(**PROTECTED)
    (ada, bob), (lost, at_bob) = world.enrolled("ada", "bob")
    teams = [world.team(name, ada, bob) for name in ("Sales", "Support", "Travel")]
    board = world.team("Board", ada, bob)
    for waiting in (ada, bob):
        world.wait_for_reason(board, waiting, Reason.APPROVAL_NEEDED)
    for client in (lost, at_bob):
        for approver in (ANA, BEN):
            world.approve(approver, board, client)
    for team in (*teams, board):
        world.wait_until_committed(team, ada, bob)
    before = {team: world.epoch(team) for team in (*teams, board)}
    assert [opens(lost, team) for team in before] == list(before.values())

    new = world.enrol(ada, replaces=True)
    world.wait_until_bound(new)
    for team in teams:
        show("a group without the lost key", world.wait_until_committed(team, ada, bob))
        assert opens(new, team) == before[team] + 1 == opens(at_bob, team)
        assert opens(lost, team) is None
        at_bob.share(team.text, b"new")
        assert texts(new, team) == [b"new"]
    world.wait_until_committed(board, bob)
    assert opens(lost, board) is None
    assert opens(new, board) is None
    world.wait_for_reason(board, ada, Reason.APPROVAL_NEEDED)
    assert Reason.APPROVAL_NEEDED in world.operator_sees()
    for approver in (ANA, BEN):
        world.approve(approver, board, new)
    show("approved into the protected group", world.wait_until_committed(board, ada, bob))
    assert opens(new, board) == before[board] + 1

    world.assert_sound()


@pytest.mark.slow
def test_a_device_that_an_old_one_vouches_for_enters_a_protected_group(
    world: TrustedWorld, identity_provider: IdentityProvider
) -> None:
    """No approval, no evidence of its own: the old key's signature is worth as much."""
    world.set_policy_first(**PROTECTED)
    (ada,), (old,) = world.enrolled("ada")
    board = world.team("Board", ada)
    world.wait_for_reason(board, ada, Reason.APPROVAL_NEEDED)
    for approver in (ANA, BEN):
        world.approve(approver, board, old)
    world.wait_until_committed(board, ada)
    world.world.stop("service")
    new = world.enrol(ada)
    assert [each.state for each in new.devices() if each.key_id == new.key_id] == ["submitted"]
    old.endorse(old.pending_device(new.key_id.hex()))
    world.world.start("service")
    show("bound by the old device", seconds_until(lambda: world.is_bound(new), "the binding"))
    wait_opens(new, board)
    assert opens(old, board) == opens(new, board)


def wait_opens(client: MemberClient, team: Team) -> float:
    return seconds_until(lambda: opens(client, team) is not None, "the key")


@pytest.mark.slow
@pytest.mark.parametrize("obstacle", ["silent", "limited", "frozen", "approval"])
def test_a_removal_waits_for_nothing(world: TrustedWorld, okta: OktaApi, obstacle: str) -> None:
    """Whatever holds additions back: the epoch ends, and those who stay get the next one."""
    (ada, bob, eve), (at_ada, at_bob, at_eve) = world.enrolled("ada", "bob", "eve")
    team = world.team("Engineering", ada, bob)
    world.wait_until_committed(team, ada, bob)
    okta.join(team.source_id, eve.name)
    reason = hinder(world, okta, obstacle)
    try:
        world.push(team, add=[eve])
        world.wait_for_reason(team, eve, reason)
        world.push(team, remove=[bob])
        rotated = seconds_until(lambda: world.epoch(team) == 2, "the next epoch")
        show(f"removed while {obstacle}", rotated + world.wait_until_committed(team, ada))
        assert opens(at_ada, team) == 2
        assert opens(at_bob, team) is None
        assert opens(at_eve, team) is None
        at_ada.share(team.text, b"without bob")
        assert world.reason(team, eve) == reason
    finally:
        unhinder(world, okta, obstacle)
    show(f"let in after {obstacle}", world.wait_until_committed(team, ada, eve))
    assert texts(at_eve, team) == [b"without bob"]


def hinder(world: TrustedWorld, okta: OktaApi, obstacle: str) -> Reason:
    """Puts something in the way of additions; the reason that it gives."""
    match obstacle:
        case "silent":
            okta.failing = 503
            return Reason.MEMBERSHIP_SOURCE_UNAVAILABLE
        case "limited":
            okta.limit, okta.window_seconds = 1, 5
            okta.use_up_limits()
            return Reason.MEMBERSHIP_SOURCE_LIMITED
        case "frozen":
            world.command("freeze", "on")
            return Reason.FROZEN
    world.set_policy_first(protected=[{"match": [{"name": "Engineering*"}], "approvals": 2}])
    wait_for(
        lambda: "Engineering" in json.dumps(world.command("policy", "show")), SECONDS, "policy"
    )
    return Reason.APPROVAL_NEEDED


def unhinder(world: TrustedWorld, okta: OktaApi, obstacle: str) -> None:
    match obstacle:
        case "silent":
            okta.failing = None
        case "limited":
            okta.limit = None
            okta.refill_limits()
        case "frozen":
            world.command("freeze", "off")
        case _:
            world.set_policy()


@pytest.mark.slow
def test_evidence_that_expired_while_the_service_was_away_is_renewed(world: TrustedWorld) -> None:
    """The device is told so, and signs in again."""
    (ada,) = world.people("ada")
    world.world.stop("service")
    expired = threading.Event()

    def brief(request: SignInRequest, manner: SignInManner) -> IdToken:
        """A token that its provider's clock would call good for one more second."""
        provider = world.provider
        assert provider is not None
        expires = int(time.time()) - 59
        claims = provider.claims(ada.name, request.nonce, iat=expires - 300, exp=expires)
        threading.Timer(2, expired.set).start()
        return IdToken(provider.mint(claims))

    client = world.enrol(ada, sign_in=brief)
    assert client.devices()[0].state == "submitted"
    assert expired.wait(10)
    world.world.start("service")
    wait_for(lambda: client.devices()[0].state == "refused", 30, "the refusal")
    assert client.devices()[0].reason == Reason.EVIDENCE_EXPIRED
    with world.signing_in():
        client.renew(ada.manner)
    show("bound by renewed evidence", seconds_until(lambda: world.is_bound(client), "the binding"))
    team = world.team("Engineering", ada)
    world.wait_until_committed(team, ada)
    assert opens(client, team) == 1


@pytest.mark.slow
def test_neither_evidence_nor_subjects_nor_okta_credentials_are_on_the_vendors_side(
    world: TrustedWorld, okta: OktaApi
) -> None:
    """Database, Redis, logs and memory of the vendor's processes hold none, in any form."""
    (ada,), _ = world.enrolled("ada")
    team = world.team("Engineering", ada)
    world.wait_until_committed(team, ada)
    assert len(world.tokens) >= 1
    hidden = [Secret("Okta credential", okta.api_token.encode())]
    for number, token in enumerate(world.tokens):
        _, payload, signature = token.split(".")
        hidden += [
            Secret(f"claims {number}", payload.encode()),
            Secret(f"signature {number}", decoded(signature)),
        ]
    with Store(world.world.service_process.data_dir).reader() as connection:
        salts = connection.execute("SELECT salt FROM subjects").fetchall()
    assert salts
    hidden += [Secret(f"salt {number}", salt) for number, (salt,) in enumerate(salts)]
    search = SecretSearch(hidden)
    world.operator_sees()
    assert on_the_vendors_side(world, search) == []
    assert search.searched > 20 << 20
    log = world.world.folder / "worker.log"
    with log.open("ab") as file:
        file.write(world.tokens[-1].encode())
    assert on_the_vendors_side(world, search) != [], "the search finds what is there"


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def on_the_vendors_side(world: TrustedWorld, search: SecretSearch) -> list[str]:
    product = world.world
    stored = [
        *vendor_storage.tables(product.bench.database_url),
        *vendor_storage.redis_keys(product.bench.redis_url),
        *vendor_storage.files([product.folder / f"{name}.log" for name in VENDOR], packed=True),
    ]
    found = [str(each) for where, what in stored for each in search.in_bytes(where, what)]
    for name in VENDOR:
        for pid in descendants(product.processes[name].pid):
            for piece in memory(pid):
                found += map(str, search.in_bytes(f"memory of {name}", piece))
    return found
