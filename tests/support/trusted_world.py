"""A whole product in a trust mode: its processes, its people, and what they see.

Everything is a process of its own and speaks over the network; Okta's API alone is a stand-in. An
idle tenant's ledger is read once an hour here: what happens sooner, somebody was told of.
"""

import json
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from unittest.mock import patch
from uuid import UUID, uuid4

from directory.credentials import create_code
from directory.tenancy import TenantScope
from directory.unit_of_work import UnitOfWork
from encryption_service.policy.parse import parse_policy
from groupseal.approvals import ApprovalStatement
from groupseal.trust import TrustMode
from member_client.client import MemberClient
from member_client.errors import NotGrantedError
from member_client.provider import IdToken
from member_client.sign_in import SignInManner, SignInRequest
from member_client.sign_in import sign_in as real_sign_in
from scim_gateway.attributes import PROVISIONING_GROUP_SCHEMA
from tests.faults.world import World
from tests.support.customer import service_settings
from tests.support.identity_provider import IdentityProvider
from tests.support.okta_api import OktaApi
from tests.support.policies import DAY_MS, Approver, PolicyOnDisk
from tests.support.postgres import RunningPostgres
from tests.support.signing_in import Person
from tests.support.waiting import wait_for

SECONDS = 15.0
SignIn = Callable[[SignInRequest, SignInManner], IdToken]


@dataclass(frozen=True)
class Somebody:
    """A person, known at the identity provider and at Okta by `name`, to the vendor by `id`."""

    name: str
    id: UUID
    manner: SignInManner = field(repr=False)


@dataclass(frozen=True)
class Team:
    """A group: the id that the vendor gave it, and the one that it has at Okta."""

    id: UUID
    name: str
    source_id: str

    @property
    def text(self) -> str:
        return str(self.id)


class TrustedWorld:
    """One tenant, whose customer decides whom to trust. Use it in a `with` block."""

    def __init__(
        self,
        postgres: RunningPostgres,
        template: str,
        redis_url: str,
        folder: Path,
        *,
        mode: TrustMode = TrustMode.OIDC,
        provider: IdentityProvider | None = None,
        okta: OktaApi | None = None,
        approvers: Collection[Approver] = (),
        faults: bool = False,
    ) -> None:
        self.mode, self.provider, self.okta = mode, provider, okta
        self._approvers = [approver.entry() for approver in approvers]
        self.policy = PolicyOnDisk(folder / "policy.yaml", approvers=self._approvers)
        settings = service_settings(
            folder, self.policy, mode=mode, provider=provider, okta=okta, check="enforce"
        )
        self.world = World(
            postgres,
            template,
            redis_url,
            folder,
            faults=faults,
            service_settings=settings,
            vendor_settings={"ledger_refresh": 3600.0},
        )
        self._folder = folder
        self._clients: list[MemberClient] = []
        # Every ID token that any client of this world was given.
        self.tokens: list[str] = []

    def __enter__(self) -> Self:
        self.world.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for client in self._clients:
            client.close()
        self.world.__exit__(kind, error, trace)

    # People and groups

    def add(self, name: str) -> Somebody:
        """A new person, at the provider and at Okta, and pushed over SCIM without a group."""
        name = f"{name}-{uuid4().hex[:6]}"
        if self.okta is not None:
            self.okta.add_user(name)
        pushed = self.world.okta.create_user(f"{name}@example.com", name)
        if self.provider is None:
            return Somebody(name, UUID(pushed), SignInManner(_no_browser))
        self.provider.add_user(name)
        return Somebody(name, UUID(pushed), Person(self.provider, name).manner)

    def people(self, *names: str) -> list[Somebody]:
        return [self.add(name) for name in names]

    def enrolled(self, *names: str) -> tuple[list[Somebody], list[MemberClient]]:
        """New people, each with one bound device."""
        people = self.people(*names)
        clients = [self.enrol(each) for each in people]
        for client in clients:
            self.wait_until_bound(client)
        return people, clients

    def enrol(
        self,
        somebody: Somebody,
        *,
        replaces: bool = False,
        sign_in: SignIn = real_sign_in,
    ) -> MemberClient:
        """A new device of a person, by a code and, in mode `oidc`, a sign-in with the browser."""
        with UnitOfWork(self.world.bench.engine) as work:
            scope = TenantScope(work.connection, self.world.tenant.id)
            code, _ = create_code(scope, somebody.id, timedelta(hours=1))
            work.commit()
        client = MemberClient(self._folder / "homes" / uuid4().hex)
        self._clients.append(client)
        with self.signing_in(sign_in):
            client.enrol(
                self.world.gateway_address,
                code,
                fingerprint=self.world.fingerprint,
                manner=somebody.manner,
                replaces=replaces,
            )
        return client

    @contextmanager
    def signing_in(self, sign_in: SignIn = real_sign_in) -> Iterator[None]:
        """Keeps the tokens that clients are given meanwhile."""

        def kept(request: SignInRequest, manner: SignInManner) -> IdToken:
            token = sign_in(request, manner)
            self.tokens.append(token.reveal().decode())
            return token

        with patch("member_client.submitting.sign_in", kept):
            yield

    def wait_until_bound(self, client: MemberClient) -> None:
        wait_for(lambda: self.is_bound(client), SECONDS, "the binding of the key")

    def is_bound(self, client: MemberClient) -> bool:
        """By the ledger that the client itself verified."""
        client.sync()
        return client.key_id in client.ledger.projection.keys

    def team(
        self, name: str, *members: Somebody, at_okta: Collection[Somebody] | None = None
    ) -> Team:
        """A group at Okta, pushed with `members`; at Okta these are in it, or `at_okta`."""
        name = f"{name} {uuid4().hex[:6]}"
        source = ""
        if self.okta is not None:
            there = members if at_okta is None else at_okta
            source = self.okta.add_group(name, [each.name for each in there])
        pushed = self.world.okta.create_group(name, [str(each.id) for each in members])
        return Team(UUID(pushed), name, source)

    def push(
        self, team: Team, *, add: Collection[Somebody] = (), remove: Collection[Somebody] = ()
    ) -> None:
        """What Okta pushes; what it says itself is another thing."""
        added, removed = ([str(each.id) for each in people] for people in (add, remove))
        self.world.okta.patch_group(team.text, team.name, added, removed)

    # What they see

    def committed(self, team: Team) -> set[UUID]:
        return self.world.tenant.committed(team.id)

    def reason(self, team: Team, somebody: Somebody) -> str | None:
        """What Okta's administrator is shown of one member, over SCIM."""
        shown = self.world.okta.request(
            "GET", f"/Groups/{team.id}", attributes=f"{PROVISIONING_GROUP_SCHEMA}:members"
        ).json()
        members = shown[PROVISIONING_GROUP_SCHEMA].get("members", [])
        found = [each for each in members if each["value"] == str(somebody.id)]
        return found[0].get("reason") if found else None

    def operator_sees(self) -> str:
        """What `groupseal status` shows the vendor's operator."""
        return self.world.run("status", check=False).stdout

    def epoch(self, team: Team) -> int:
        return int(
            self.world.tenant.one(
                "SELECT epoch FROM groups WHERE tenant_id = %s AND id = %s", team.id
            )
        )

    def wait_until_committed(self, team: Team, *people: Somebody) -> float:
        """Until exactly these hold the open epoch; how many seconds that took."""
        wanted = {each.id for each in people}
        return seconds_until(lambda: self.committed(team) == wanted, f"members of {team.name}")

    def wait_for_reason(self, team: Team, somebody: Somebody, reason: str) -> float:
        return seconds_until(lambda: self.reason(team, somebody) == reason, f"the reason {reason}")

    # The customer's people

    def command(self, *words: str, check: bool = True) -> Any:
        """An `encryption-service` command; what it printed as JSON."""
        ran = self.world.service_process.run(*words, "--json", check=check)
        return json.loads(ran.stdout) if ran.stdout else None

    def set_policy(self, **document: Any) -> None:
        """Approvers stay."""
        self.policy.write(approvers=self._approvers, **document)

    def set_policy_first(self, **document: Any) -> None:
        """The same, and waits until it is in force: what follows is decided by it."""
        self.set_policy(**document)
        digest = parse_policy(self.policy.path.read_bytes()).digest.hex()

        def is_in_force() -> bool:
            return digest in self.world.service_process.run("policy", "show").stdout

        wait_for(is_in_force, 15, "the policy")

    def approve(self, approver: Approver, team: Team, client: MemberClient) -> None:
        """An approver's signature for one key into one group, handed to the service."""
        assert self.try_to_approve(approver, team, client)

    def try_to_approve(self, approver: Approver, team: Team, client: MemberClient) -> bool:
        """Whether the service took it: one that is dying does not say."""
        statement = ApprovalStatement(
            client.organisation.organisation,
            team.id.bytes,
            UUID(client.member_id).bytes,
            client.key_id,
            time.time_ns() // 1_000_000 + DAY_MS,
        )
        document = self._folder / f"approval-{uuid4().hex}.json"
        document.write_text(approver.approval(statement))
        added = self.world.service_process.run("approvals", "add", str(document), check=False)
        return added.returncode == 0

    # What holds at the end

    def ledger(self) -> int:
        """Entries in the service's ledger, by the vendor's copy."""
        return self.world.tenant.ledger_size()

    def claims(self, team: Team) -> int:
        """How often a worker has taken the group up."""
        query = "SELECT fence FROM groups WHERE tenant_id = %s AND id = %s"
        return int(self.world.tenant.one(query, team.id))

    def assert_sound(self) -> None:
        self.world.assert_sound()


def opens(client: MemberClient, team: Team) -> int | None:
    """The epoch that a client opens, verified; None where it is given nothing."""
    try:
        return client.open(team.text).epoch
    except NotGrantedError:
        return None


def texts(client: MemberClient, team: Team) -> list[bytes | None]:
    """What a client reads of what was shared to a group."""
    return [item.content for item in client.read(team.text)]


def seconds_until(condition: Callable[[], bool], what: str, within: float = SECONDS) -> float:
    """Waits, and returns how long it took."""
    began = time.monotonic()
    wait_for(condition, within, what)
    return time.monotonic() - began


def _no_browser(_: str) -> None:
    raise AssertionError("nobody signs in here")
