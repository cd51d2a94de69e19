"""Whatever is sent is done or refused with a reason in SCIM's form: never 5xx, never a fault."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

import pytest
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

from scim_gateway.app import create_app
from scim_gateway.settings import GatewaySettings
from scim_gateway.wiring import wire
from tests.support.postgres import RunningPostgres
from tests.support.scim_client import ScimClient, new_tenant
from tests.support.scim_fuzz import GROUP_ID, USER_ID, FuzzedRequest, requests, searches
from tests.support.valkey import RunningValkey

_ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
_JSON = {"application/scim+json", "application/json"}


@dataclass
class Target:
    """The application with a tenant that has a user and a group at any time."""

    app: Flask
    scim: ScimClient
    made: int = 0
    user: str = ""
    group: str = ""

    def refresh(self) -> None:
        """Makes user and group again where a request has deleted them."""
        if not self.user or self.scim.send("GET", f"/Users/{self.user}").status_code != 200:
            self.made += 1
            self.user = self.scim.create_user(f"{self.made}@example.com", externalId="00u1")
        if not self.group or self.scim.send("GET", f"/Groups/{self.group}").status_code != 200:
            self.made += 1
            self.group = self.scim.create_group(f"Group {self.made}", [self.user])

    def answers_well(self, sent: FuzzedRequest) -> None:
        """Sends it and looks at what comes back."""
        body = sent.body
        if body is not None:
            for mark, identifier in ((USER_ID, self.user), (GROUP_ID, self.group)):
                for spelt in (mark, json.dumps(mark)[1:-1]):
                    body = body.replace(spelt.encode(), identifier.encode())
        path = sent.path.replace(USER_ID, self.user).replace(GROUP_ID, self.group)
        response = self.app.test_client().open(
            method=sent.method,
            # As a server hands them over, however odd they are.
            environ_overrides={
                "PATH_INFO": unquote_to_bytes(f"/scim/v2{path}").decode("latin-1"),
                "QUERY_STRING": sent.query,
            },
            data=body,
            headers={"Authorization": f"Bearer {self.scim.token}", **sent.headers},
        )
        status = response.status_code
        assert status < 500 or (status == 501 and "not offered" in response.text), response.text
        assert self.scim.token not in response.text
        if not response.data:
            assert status < 400 or sent.method == "HEAD"
            return
        assert response.mimetype in _JSON
        told = json.loads(response.data)
        if status >= 400:
            assert told["schemas"] == [_ERROR]
            assert told["status"] == str(status)
            assert told["detail"]


@pytest.fixture(scope="module")
def target(
    postgres: RunningPostgres, migrated_template: str, shared_valkey: RunningValkey
) -> Iterator[Target]:
    """On a database of the module's own, without a rate limit."""
    name = postgres.create(template=migrated_template)
    wiring = wire(
        GatewaySettings(
            database_url=postgres.url(name),
            redis_url=shared_valkey.url,
            gateway_rate_per_second=0,
        )
    )
    app = create_app(wiring)
    yield Target(app, new_tenant(app, wiring, "fuzzed"))
    wiring.close()
    postgres.drop(name)


def _fuzz(
    target: Target, strategy: Callable[[], SearchStrategy[FuzzedRequest]], examples: int
) -> None:
    """So many requests; a few hundred are the same ones each time, thousands are new ones."""

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=examples < 1_000,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(sent=strategy())
    def holds(sent: FuzzedRequest) -> None:
        target.refresh()
        target.answers_well(sent)

    holds()


def test_any_request(target: Target) -> None:
    """Random paths, methods, headers, queries; random bytes, random JSON, mutated valid bodies."""
    _fuzz(target, requests, 250)


def test_any_search(target: Target) -> None:
    """The grammar's words in any order, in queries and bodies."""
    _fuzz(target, searches, 120)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_thousands_of_requests(target: Target) -> None:
    """The same with new ones each time."""
    _fuzz(target, requests, 5_000)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_thousands_of_searches(target: Target) -> None:
    """The same with new ones each time."""
    _fuzz(target, searches, 3_000)
