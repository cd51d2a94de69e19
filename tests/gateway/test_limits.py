"""Rates, media types, methods, sizes: every limit is a SCIM error that names it."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from flask import Flask
from redis import Redis
from redis.exceptions import TimeoutError as RedisTimeoutError

from directory.settings import DirectorySettings
from directory.wake_up import make_redis
from scim_gateway.app import create_app
from scim_gateway.failed_attempts import FailedAttempts
from scim_gateway.rate_limits import TokenRate
from scim_gateway.settings import GatewaySettings
from scim_gateway.wiring import Wiring, wire
from tests.support.scim_client import ScimClient, new_tenant
from tests.support.valkey import RunningValkey

_ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"


class Clock:
    """A clock that a test turns on."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class AbsentRedis:
    """In a client's place: every script fails as at a server that is away."""

    def __init__(self) -> None:
        self.asked = 0

    def register_script(self, _script: str) -> Callable[..., object]:
        """What the real one returns can be called with keys and arguments."""
        return self._call

    def _call(self, **_arguments: object) -> object:
        self.asked += 1
        raise RedisTimeoutError


@pytest.fixture
def limited(
    database_url: str, redis_url: str
) -> Iterator[Callable[..., tuple[ScimClient, ScimClient]]]:
    """Makes clients of two tenants at a gateway with these settings."""
    made: list[Wiring] = []

    def with_settings(**settings: Any) -> tuple[ScimClient, ScimClient]:
        wiring = wire(
            GatewaySettings(database_url=database_url, **{"redis_url": redis_url, **settings})
        )
        made.append(wiring)
        app = create_app(wiring)
        return new_tenant(app, wiring, "first"), new_tenant(app, wiring, "second")

    yield with_settings
    for wiring in made:
        wiring.close()


def _detail(answer: Any, status: int) -> str:
    """The detail of an answer that must be this error in SCIM's form."""
    assert answer.status_code == status, answer.text
    body = json.loads(answer.text)
    assert body["schemas"] == [_ERROR]
    assert body["status"] == str(status)
    return str(body["detail"])


def test_a_token_has_a_burst_and_a_rate(limited: Callable[..., Any]) -> None:
    """429 with Retry-After in whole seconds, before the database is asked; others go on."""
    first, second = limited(gateway_rate_per_second=0.5, gateway_rate_burst=3)
    assert [first.send("GET", "/Users").status_code for _ in range(3)] == [200] * 3
    refused = first.send("GET", "/Users")
    assert "GROUPSEAL_GATEWAY_RATE_PER_SECOND" in _detail(refused, 429)
    assert refused.headers["Retry-After"] in {"1", "2"}
    first.wiring.engine.dispose()
    assert first.send("POST", "/Users", {"userName": "a"}).status_code == 429
    assert first.wiring.engine.pool.checkedin() == 0
    assert second.send("GET", "/Users").status_code == 200


def test_the_rate_is_counted_once_for_all_processes(redis_url: str) -> None:
    """Two counters share what one token may ask; what is unused adds up to the burst only."""
    redis = make_redis(redis_url)
    rates = [TokenRate(redis, per_second=0.1, burst=4) for _ in range(2)]
    waits = [rates[number % 2].seconds_to_wait("a") for number in range(6)]
    assert waits[:4] == [0] * 4
    assert all(9 <= wait <= 10 for wait in waits[4:])
    (key,) = redis.keys()
    assert isinstance(key, bytes)
    assert b"groupseal:rate:" in key
    assert 30_000 < int(str(redis.pttl(key))) <= 40_000
    redis.set(key, b"9" * 20)  # as if the clock had been set back
    assert rates[0].seconds_to_wait("a") <= 10
    redis.set(key, b"nonsense")
    assert rates[0].seconds_to_wait("a") == 0
    redis.close()


def test_a_limited_request_is_one_round_trip(redis_url: str) -> None:
    """Once the server knows the script; what the script does is no round trip."""
    redis = make_redis(redis_url)
    rate = TokenRate(redis, per_second=0.001, burst=1)
    rate.seconds_to_wait("a")
    redis.config_resetstat()
    assert rate.seconds_to_wait("a") > 0
    stats = redis.info("commandstats")
    assert isinstance(stats, dict)
    inside_script = {"cmdstat_time", "cmdstat_get", "cmdstat_config|resetstat"}
    assert set(stats) - inside_script == {"cmdstat_evalsha"}
    assert stats["cmdstat_evalsha"]["calls"] == 1
    redis.close()


def test_without_redis_nobody_is_limited(
    own_valkey: RunningValkey, caplog: pytest.LogCaptureFixture
) -> None:
    """Said once; asked again once in ten seconds, not by every request; back by itself."""
    clock = Clock()
    redis = make_redis(own_valkey.url)
    rate = TokenRate(redis, per_second=0.001, burst=1, clock=clock)
    assert rate.seconds_to_wait("a") == 0
    assert rate.seconds_to_wait("a") > 0
    own_valkey.kill()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert rate.seconds_to_wait("a") == 0
            clock.now += 11
    assert caplog.text.count("redis is not reachable") == 1
    own_valkey.start()
    assert rate.seconds_to_wait("b") == 0
    assert rate.seconds_to_wait("b") > 0
    assert "redis answers again" in caplog.text
    redis.close()


def test_while_redis_is_away_it_is_asked_once_in_a_while() -> None:
    """No request pays for its absence but one in ten seconds."""
    clock = Clock()
    redis = AbsentRedis()
    rate = TokenRate(cast("Redis", redis), per_second=1, burst=1, clock=clock)
    for _ in range(100):
        assert rate.seconds_to_wait("a") == 0
        clock.now += 0.25
    assert redis.asked == 3


def test_requests_are_answered_without_redis(limited: Callable[..., Any]) -> None:
    """Through the whole application."""
    first, _ = limited(redis_url="redis://127.0.0.1:1/0", gateway_rate_burst=1)
    assert [first.send("GET", "/Users").status_code for _ in range(3)] == [200] * 3


def test_no_rate_is_a_setting(limited: Callable[..., Any]) -> None:
    """0 switches either limit off."""
    first, _ = limited(gateway_rate_per_second=0, gateway_rate_failures_per_minute=0)
    assert first.wiring.token_rate is None
    first.token = "wrong"
    assert {first.send("GET", "/Users").status_code for _ in range(70)} == {401}


def test_an_address_may_fail_so_often(limited: Callable[..., Any]) -> None:
    """429 from then on, for both APIs; a valid token from the same address is answered."""
    first, second = limited(gateway_rate_failures_per_minute=3)
    valid, first.token = first.token, "wrong"
    assert [first.send("GET", "/Users").status_code for _ in range(3)] == [401] * 3
    refused = first.send("GET", "/Users")
    assert "GROUPSEAL_GATEWAY_RATE_FAILURES_PER_MINUTE" in _detail(refused, 429)
    assert 1 <= int(refused.headers["Retry-After"]) <= 20
    first.token = "another"
    assert first.send("GET", "/Users").status_code == 429
    member = first._app.test_client().get(
        "/member/v1/groups", headers={"Authorization": "Bearer wrong"}
    )
    assert member.status_code == 429
    assert member.get_json()["reason"] == "too_many_requests"
    assert member.headers["Retry-After"].isdecimal()
    first.token = valid
    assert first.send("GET", "/Users").status_code == 200
    assert second.send("GET", "/Users").status_code == 200


def test_failures_are_forgotten_and_the_table_is_bounded() -> None:
    """By and by, as many as are allowed in a minute; the oldest address makes room."""
    clock = Clock()
    attempts = FailedAttempts(2, clock=clock, most=3)
    for _ in range(2):
        assert attempts.seconds_to_wait("192.0.2.1") == 0
        attempts.note("192.0.2.1", b"x")
    assert attempts.seconds_to_wait("192.0.2.1") == 30
    assert attempts.seconds_to_wait("::ffff:192.0.2.1") == 30
    assert attempts.seconds_to_wait("192.0.2.2") == 0
    clock.now += 31
    assert attempts.seconds_to_wait("192.0.2.1") == 0
    for number in range(2):
        attempts.note(f"2001:db8::{number}", bytes([number]))
    assert attempts.seconds_to_wait("2001:db8::ffff") > 0
    assert attempts.seconds_to_wait("2001:db8:1::") == 0
    for number in range(3):
        attempts.note(f"198.51.100.{number}", b"y")
    assert attempts.seconds_to_wait("2001:db8::ffff") == 0
    assert not attempts.has_failed(b"never")


def test_proxies_are_believed_as_far_as_the_setting_says(limited: Callable[..., Any]) -> None:
    """The address that the outermost of ours saw counts, not what a client claims."""
    first, _ = limited(gateway_rate_failures_per_minute=1, gateway_trusted_proxies=1)
    first.token = "wrong"

    def status(forwarded: str) -> int:
        return int(first.send("GET", "/Users", headers={"X-Forwarded-For": forwarded}).status_code)

    assert [status("192.0.2.1"), status("192.0.2.1"), status("192.0.2.2")] == [401, 429, 401]
    assert status("192.0.2.9, 192.0.2.1") == 429


@pytest.mark.parametrize(
    ("accept", "status", "answered"),
    [
        (None, 200, "application/scim+json"),
        ("", 200, "application/scim+json"),
        ("*/*", 200, "application/scim+json"),
        ("application/*;q=0.1", 200, "application/scim+json"),
        ("application/scim+json", 200, "application/scim+json"),
        ("application/scim+json; charset=utf-8", 200, "application/scim+json"),
        ("APPLICATION/JSON", 200, "application/json"),
        ("application/json;charset=UTF-8;q=0.5, text/html", 200, "application/json"),
        ("application/json, text/plain, */*", 200, "application/scim+json"),
        ("application/scim+json;q=0, application/json", 200, "application/json"),
        (";;;,,=", 200, "application/scim+json"),
        ("text/html", 406, "application/scim+json"),
        ("application/xml;q=1, application/scim+json;q=0", 406, "application/scim+json"),
    ],
)
def test_accept(
    app: Flask, scim: ScimClient, accept: str | None, status: int, answered: str
) -> None:
    """Either type, weights, parameters; lenient to what cannot be read; 406 otherwise."""
    headers = {"Authorization": f"Bearer {scim.token}"}
    if accept is not None:
        headers["Accept"] = accept
    response = app.test_client().get("/scim/v2/Users", headers=headers)
    assert (response.status_code, response.headers["Content-Type"]) == (status, answered)


@pytest.mark.parametrize(
    ("headers", "status", "word"),
    [
        ({"Content-Type": "application/json; charset=UTF-8"}, 201, ""),
        ({"Content-Type": "APPLICATION/SCIM+JSON"}, 201, ""),
        ({"Content-Type": "application/json; charset=utf-16"}, 415, "UTF-8"),
        ({"Content-Type": "application/xml"}, 415, "application/scim+json"),
        ({"Content-Type": ""}, 415, "application/scim+json"),
        ({"Content-Encoding": "gzip"}, 415, "Content-Encoding"),
        ({"Content-Encoding": "identity"}, 201, ""),
        ({"Accept": "text/html"}, 406, "application/scim+json"),
    ],
)
def test_media_types_of_bodies(
    scim: ScimClient, headers: dict[str, str], status: int, word: str
) -> None:
    """What is refused has changed nothing."""
    answer = scim.send("POST", "/Users", {"userName": "ada@example.com"}, headers=headers)
    if status == 201:
        assert answer.status_code == 201
    else:
        assert word in _detail(answer, status)
        assert scim.send("GET", "/Users").json["totalResults"] == 0


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ('{"userName": "a", "x": ' + "[" * 64 + "]" * 64 + "}", "64 levels"),
        ('{"userName": "a", "x": ' + '{"a":' * 5000 + "1" + "}" * 5001, "64 levels"),
        ('{"userName": "a", "x": 9223372036854775808}', "64 bits"),
        ('{"userName": "a", "x": ' + "9" * 5000 + "}", "64 bits"),
        ('{"userName": "a", "x": -1e400}', "double"),
        ('{"userName": "a", "userName": "b"}', "same name twice"),
        ('{"userName": "a", "x": {"y": 1, "y": 1}}', "same name twice"),
        ('{"userName": "a"} {}', "not JSON"),
    ],
)
def test_json_has_limits(app: Flask, scim: ScimClient, body: str, word: str) -> None:
    """Each named in the error."""
    response = app.test_client().post(
        "/scim/v2/Users",
        data=body,
        headers={
            "Authorization": f"Bearer {scim.token}",
            "Content-Type": "application/scim+json",
        },
    )
    assert word in _detail(response, 400)


def test_json_within_the_limits(scim: ScimClient) -> None:
    """Nested 63 deep below the resource, and the largest of numbers."""
    nested: Any = 2**63 - 1
    for _ in range(63):
        nested = [nested]

    assert scim.send("POST", "/Users", {"userName": "a", "x": nested}).status_code < 500


def test_methods(app: Flask, scim: ScimClient) -> None:
    """405 with Allow; HEAD is GET without a body; OPTIONS says what there is."""
    client = app.test_client()
    headers = {"Authorization": f"Bearer {scim.token}"}
    refused = client.put("/scim/v2/Users", headers=headers)
    assert _detail(refused, 405)
    assert {"GET", "POST"} <= set(refused.headers["Allow"].split(", "))
    assert client.open("/scim/v2/Users", method="BREW", headers=headers).status_code == 405
    head = client.head("/scim/v2/Users", headers=headers)
    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["Content-Type"] == "application/scim+json"
    options = client.options("/scim/v2/Users", headers=headers)
    assert (options.status_code, options.data) == (204, b"")
    assert "POST" in options.headers["Allow"]
    assert "Content-Type" not in options.headers


@pytest.mark.parametrize("path", ["/Users/", "//Users", "//Users//", "/Users"])
def test_slashes_do_not_matter(scim: ScimClient, path: str) -> None:
    """Base URLs end in a slash or not; nobody is redirected."""
    assert scim.send("GET", path).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/Me", "/Bulk", "/Me/"])
def test_what_is_not_offered(scim: ScimClient, method: str, path: str) -> None:
    """501 (RFC 7644 §3.11), and announced so."""
    assert "not offered" in _detail(scim.send(method, path), 501)
    assert scim.send("GET", "/ServiceProviderConfig").json["bulk"]["supported"] is False


def test_a_body_larger_than_the_limit(app: Flask, scim: ScimClient) -> None:
    """413, with the number and the setting."""
    app.config["MAX_CONTENT_LENGTH"] = 1_000
    told = _detail(scim.send("POST", "/Users", {"userName": "a" * 1_000}), 413)
    assert "1000" in told
    assert "GROUPSEAL_GATEWAY_MAX_BODY" in told


def test_failures_are_logged_by_route(
    app: Flask, scim: ScimClient, caplog: pytest.LogCaptureFixture
) -> None:
    """One line, with nothing of what was sent: no token, no name, no line break of a client."""
    app.config["PROPAGATE_EXCEPTIONS"] = False
    user = scim.create_user("ada@example.com")
    scim.execute("ALTER TABLE users RENAME COLUMN attributes TO other")
    forged = "\nERROR forged gs_scim_CANARY"
    try:
        with caplog.at_level(logging.DEBUG):
            for method, path in (("PUT", f"/Users/{user}"), ("POST", "/Users")):
                answer = scim.send(
                    method,
                    path,
                    {"userName": f"bob{forged}", "password": "CANARY"},
                    headers={"User-Agent": "CANARY", "X-Request-Id": "CANARY"},
                    token="CANARY",
                    attributes=forged,
                )
                assert _detail(answer, 500)
                assert "CANARY" not in answer.text
    finally:
        scim.execute("ALTER TABLE users RENAME COLUMN other TO attributes")
    lines = [line for line in caplog.text.splitlines() if "scim_gateway.failure_log" in line]
    assert len(lines) == 2
    assert "PUT /scim/v2/Users/<user_id> failed: ProgrammingError" in lines[0]
    for secret in ("CANARY", "forged", scim.token):
        assert secret not in caplog.text


def test_the_operators_guide_lists_every_setting() -> None:
    """By the name of its variable."""
    guide = (Path(__file__).parents[2] / "docs" / "operator.md").read_text()
    own = GatewaySettings.model_fields.keys() - DirectorySettings.model_fields.keys()
    for name in own - {"log_level"}:
        assert f"`GROUPSEAL_{name.upper()}`" in guide
