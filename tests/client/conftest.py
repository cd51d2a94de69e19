"""An organisation, a vendor that serves it, and members with clients of their own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from encryption_service.outbound_http import OutboundHttp
from groupseal.identifiers import fingerprint
from groupseal.trust import TrustSettings
from member_client.client import MemberClient
from tests.support.evidence_makers import TestClock, trust_in
from tests.support.identity_provider import IdentityProvider
from tests.support.member_server import MemberServer, Vendor
from tests.support.org_maker import MadeGroup, OrgMaker
from tests.support.signing_in import Person, verifier_of


@dataclass
class Member:
    id: bytes
    client: MemberClient
    home: Path

    @property
    def key_id(self) -> bytes:
        return self.client.key_id


@dataclass
class World:
    org: OrgMaker
    vendor: Vendor
    address: str
    folder: Path

    def now_ms(self) -> int:
        return self.org.now_ms

    def new_home(self) -> Path:
        return self.folder / uuid4().hex

    def client(self, home: Path) -> MemberClient:
        return MemberClient(home, now_ms=self.now_ms)

    def member(self, member: bytes | None = None) -> Member:
        """A new member with one enrolled device, or another device of one."""
        member = member or uuid4().bytes
        home = self.new_home()
        client = self.client(home)
        code = self.vendor.code_for(member)
        client.enrol(self.address, code, fingerprint=fingerprint(self.org.public_key))
        return Member(member, client, home)

    def a_token(self) -> str:
        self.vendor.tokens["a token"] = uuid4().bytes
        return "a token"

    def group_of(self, *members: Member, name: str | None = None) -> MadeGroup:
        group = self.org.group(name)
        self.org.open_epoch(group, joined=[member.id for member in members])
        return group


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., World]]:
    running: list[MemberServer] = []

    def start(trust: TrustSettings | None = None) -> World:
        org = OrgMaker(trust=trust)
        vendor = Vendor(org)
        server = MemberServer(vendor)
        server.__enter__()
        running.append(server)
        return World(org, vendor, server.address, tmp_path)

    yield start
    for server in running:
        server.__exit__(None, None, None)


@pytest.fixture
def world(serve: Callable[..., World]) -> World:
    return serve()


@pytest.fixture
def http() -> Iterator[OutboundHttp]:
    http = OutboundHttp(allow_private_addresses=True)
    yield http
    http.close()


@pytest.fixture
def clock() -> TestClock:
    """Of the encryption service, where it judges evidence."""
    return TestClock()


@pytest.fixture
def vouched(
    serve: Callable[..., World],
    identity_provider: IdentityProvider,
    http: OutboundHttp,
    clock: TestClock,
) -> World:
    """An organisation whose identity provider vouches for its members' keys."""
    world = serve(trust_in(identity_provider))
    world.vendor.verifier = verifier_of(world.org, http, clock)
    return world


@pytest.fixture
def ada_at_browser(identity_provider: IdentityProvider) -> Person:
    return Person(identity_provider, identity_provider.add_user(f"ada-{uuid4().hex}"))
