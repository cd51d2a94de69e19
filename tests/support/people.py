"""Members with devices, for tests against a whole stack."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from directory.credentials import create_code
from directory.database import make_engine
from directory.tenancy import TenantScope
from directory.unit_of_work import UnitOfWork
from member_client.client import MemberClient
from tests.support.stack import Stack
from tests.support.waiting import wait_for


@dataclass(frozen=True)
class Person:
    """A user at the identity provider, and the client on the person's own machine."""

    user: str
    name: str
    client: MemberClient


def enrol(stack: Stack, users: dict[str, str], homes: Path) -> list[Person]:
    """Enrol one device for each user (id -> user name) and wait until every key is bound."""
    ready = stack.ready
    codes = enrolment_codes(stack, users)

    def one(user: str) -> Person:
        client = MemberClient(homes / user)
        client.enrol(ready["member_api_url"], codes[user], fingerprint=ready["fingerprint"])
        return Person(user, users[user], client)

    with ThreadPoolExecutor(4) as pool:
        people = list(pool.map(one, users))
    wait_for(lambda: all_bound(people), 60, "the binding of every key")
    return people


def enrolment_codes(stack: Stack, users: Iterable[str]) -> dict[str, str]:
    """A one-time code for each user id."""
    ready = stack.ready
    engine = make_engine(ready["database_url"])
    with UnitOfWork(engine) as work:
        scope = TenantScope(work.connection, UUID(ready["tenant_id"]))
        codes = {user: create_code(scope, UUID(user), timedelta(hours=1))[0] for user in users}
        work.commit()
    engine.dispose()
    return codes


def all_bound(people: Iterable[Person]) -> bool:
    return all(
        any(device.state == "bound" for device in person.client.devices()) for person in people
    )
