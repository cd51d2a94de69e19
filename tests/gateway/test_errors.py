"""Errors: SCIM's form on every path, whatever is sent, and nothing of it in a text or log."""

import logging
from typing import Any, NoReturn

import psycopg
import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.errors import (
    LockNotAvailable,
    NumericValueOutOfRange,
    QueryCanceled,
    StatementTooComplex,
)
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from directory.errors import ContendedError
from scim_gateway.app import create_app
from scim_gateway.settings import GatewaySettings
from scim_gateway.wiring import wire
from tests.support.scim_client import ScimClient

_ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"


def _is_error(response: Any, status: int) -> bool:
    content = response.get_json() if callable(getattr(response, "get_json", None)) else None
    body = content if content is not None else response.json
    return (
        response.status_code == status
        and response.headers["Content-Type"] == "application/scim+json"
        and body["schemas"] == [_ERROR]
        and body["status"] == str(status)
        and bool(body["detail"])
    )


@pytest.mark.parametrize(
    "path", ["/scim/v2/Nothing", "/scim/v2", "/elsewhere", "/scim/v2/Users/x/y"]
)
def test_unknown_addresses(app: Flask, path: str) -> None:
    """404 in SCIM's form, with or without a token."""
    assert _is_error(app.test_client().get(path), 404)


@pytest.mark.parametrize(
    "authorization",
    [None, "", "non-token", "Bearer", "Bearer  ", "Basic YTpi", "Bearer wrong", "Bearer \xe9"],
)
def test_no_usable_token(app: Flask, scim: ScimClient, authorization: str | None) -> None:
    """401 with WWW-Authenticate, a malformed header included, on every endpoint."""
    headers = {} if authorization is None else {"Authorization": authorization}
    for path in ("/Users", "/Groups", "/ServiceProviderConfig", "/Schemas", "/ResourceTypes"):
        response = app.test_client().get(f"/scim/v2{path}", headers=headers)
        assert _is_error(response, 401)
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        assert "wrong" not in response.text


def test_revoked_and_expired_tokens(scim: ScimClient) -> None:
    """They end at once."""
    scim.execute("UPDATE scim_tokens SET expires_at = now() - interval '1 second'")
    assert scim.send("GET", "/Users").status_code == 401
    scim.execute("UPDATE scim_tokens SET expires_at = NULL, revoked_at = now()")
    assert scim.send("GET", "/Users").status_code == 401


def test_several_tokens_live_beside_each_other(scim: ScimClient) -> None:
    """Rotation with overlap; the last use is noted, at most once a minute."""
    scim.send("GET", "/Users")
    (first,) = scim.rows("SELECT last_used_at FROM scim_tokens")
    assert first.last_used_at is not None
    scim.send("GET", "/Users")
    assert scim.rows("SELECT last_used_at FROM scim_tokens") == [first]


@pytest.mark.parametrize(
    ("content_type", "data", "status"),
    [
        ("application/scim+json", b"", 400),
        ("application/scim+json", b"[]", 400),
        ("application/scim+json", b"{", 400),
        ("application/scim+json", b"\xff", 400),
        ("application/scim+json", b'{"userName": NaN}', 400),
        ("application/scim+json", b'{"userName": "a\\u0000"}', 400),
        ("application/scim+json", b'{"userName": "a", "x": "\\ud800"}', 400),
        ("application/scim+json", b'{"userName": "a", "x": 1e999}', 400),
        ("application/scim+json", b'{"userName": "a", "USERNAME": "b"}', 400),
        ("application/scim+json", b'{"x":' * 60_000, 400),
        ("text/plain", b"{}", 415),
        ("application/x-www-form-urlencoded", b"userName=a", 415),
        ("", b"{}", 415),
    ],
)
def test_bodies_that_cannot_be_used(
    app: Flask, scim: ScimClient, content_type: str, data: bytes, status: int
) -> None:
    """400 or 415 in SCIM's form."""
    response = app.test_client().post(
        "/scim/v2/Users",
        data=data,
        headers={"Authorization": f"Bearer {scim.token}", "Content-Type": content_type},
    )
    assert _is_error(response, status)


def test_other_methods_and_too_much(app: Flask, scim: ScimClient) -> None:
    """405 and 413 in SCIM's form."""
    headers = {"Authorization": f"Bearer {scim.token}", "Content-Type": "application/scim+json"}
    client = app.test_client()
    assert _is_error(client.delete("/scim/v2/Users", headers=headers), 405)
    app.config["MAX_CONTENT_LENGTH"] = 1000
    assert _is_error(client.post("/scim/v2/Users", data=b" " * 2000, headers=headers), 413)


def test_plain_json_is_taken(scim: ScimClient) -> None:
    """Okta's test suite and others send application/json."""
    headers = {"Content-Type": "application/json"}
    assert scim.send("POST", "/Users", {"userName": "a"}, headers=headers).status_code == 201


def test_an_unreachable_database_is_503(redis_url: str) -> None:
    """With Retry-After in whole seconds."""
    url = "postgresql://nobody@127.0.0.1:1/nothing"
    wiring = wire(GatewaySettings(database_url=url, redis_url=redis_url))
    client = create_app(wiring).test_client()
    response = client.get("/scim/v2/Users", headers={"Authorization": "Bearer x"})
    assert _is_error(response, 503)
    assert response.headers["Retry-After"].isdecimal()
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503
    wiring.close()


@pytest.mark.parametrize(
    ("failure", "status", "word"),
    [
        (ContendedError("others were faster"), 503, "others were faster"),
        (OperationalError("", {}, LockNotAvailable()), 503, "send the request again"),
        (OperationalError("", {}, QueryCanceled()), 503, "took too long"),
        (OperationalError("", {}, StatementTooComplex()), 400, "too complex"),
        (DataError("", {}, NumericValueOutOfRange()), 400, "cannot be stored"),
        (PoolTimeoutError(), 503, "send the request again"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_the_database_says_to_a_change(
    scim: ScimClient,
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception,
    status: int,
    word: str,
) -> None:
    """A client that may send the request again is told when; one that may not is told why."""
    group = scim.create_group("Finance")
    asked: list[object] = []

    def refuse(*_arguments: object, **_keywords: object) -> NoReturn:
        asked.append(_arguments)
        raise failure

    monkeypatch.setattr("directory.group_push.change", refuse)
    answer = scim.put_group(group, "Sales", [])
    assert _is_error(answer, status)
    assert word in answer.json["detail"]
    assert answer.headers.get("Retry-After", "").isdecimal() == (status == 503)
    assert len(asked) == (5 if isinstance(failure, ContendedError) else 1)
    assert scim.send("GET", f"/Groups/{group}").json["displayName"] == "Finance"


def test_connections_that_died_between_requests_cost_no_request(
    app: Flask, scim: ScimClient, database_url: str
) -> None:
    """PostgreSQL was restarted, or a firewall forgot: both APIs and the probe go on."""
    member = {"Authorization": "Bearer gs_member_unknown"}
    code = {"code": "AAAAA-AAAAA-AAAAA-AAAAA"}
    client = app.test_client()
    for send, status in (
        (lambda: scim.send("GET", "/Users"), 200),
        (lambda: client.get("/member/v1/groups", headers=member), 401),
        (lambda: client.post("/member/v1/sessions", json=code), 401),
        (lambda: client.get("/readyz"), 200),
    ):
        assert scim.send("GET", "/Groups").status_code == 200
        with psycopg.connect(database_url, autocommit=True) as connection:
            ended = connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'groupseal-gateway'"
            ).fetchall()
        assert ended
        assert send().status_code == status


def test_no_statement_outlives_its_client(scim: ScimClient) -> None:
    """Okta closes after a minute."""
    (row,) = scim.rows("SELECT current_setting('statement_timeout') AS most")
    assert row.most == "50s"


def test_a_fault_is_500_and_tells_nothing(
    app: Flask, scim: ScimClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the answer nor the log holds what was sent, nor SQL."""
    app.config["PROPAGATE_EXCEPTIONS"] = False
    scim.execute("ALTER TABLE users RENAME COLUMN attributes TO other")
    try:
        with caplog.at_level(logging.INFO):
            response = scim.send("POST", "/Users", {"userName": "confidential@example.com"})
    finally:
        scim.execute("ALTER TABLE users RENAME COLUMN other TO attributes")
    assert response.status_code == 500
    assert response.json["schemas"] == [_ERROR]
    for told in (response.text, caplog.text):
        assert "confidential" not in told
        assert "INSERT" not in told
        assert scim.token not in told
    assert "ProgrammingError" in caplog.text


_NAMES = """
    op path value members displayName userName emails active Operations externalId name type primary
    schemas x
"""
_PATHS = """
    members emails emails[type|eq|"work"].value name.givenName active x[ a.b urn:a:b:c
    urn:a:b:2.0:c:d.e members[value|eq|"x"] displayName externalId
"""
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(_NAMES.split()), inner, max_size=5)
    ),
    max_leaves=20,
)
_PATH = st.sampled_from([path.replace("|", " ") for path in _PATHS.split()])
_OPERATION = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "Remove", "replace", "x"])},
    optional={"path": _PATH | st.text(max_size=10), "value": _JSON},
)
_BODY = _JSON | st.fixed_dictionaries({"Operations": st.lists(_OPERATION, max_size=4)})


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(body=_BODY, query=st.text(max_size=30))
def test_no_request_makes_a_fault(scim: ScimClient, body: Any, query: str) -> None:
    """Whatever JSON is sent: done, or refused with a reason; never 5xx."""
    user = scim.send("GET", "/Users", count="1").json["Resources"]
    user_id = user[0]["id"] if user else scim.create_user("ada@example.com")
    group = scim.send("GET", "/Groups", count="1").json["Resources"]
    group_id = group[0]["id"] if group else scim.create_group("Finance", [user_id])
    for method, path in (
        ("POST", "/Users"),
        ("PUT", f"/Users/{user_id}"),
        ("PATCH", f"/Users/{user_id}"),
        ("POST", "/Groups"),
        ("PUT", f"/Groups/{group_id}"),
        ("PATCH", f"/Groups/{group_id}"),
    ):
        headers = {"Content-Type": "application/scim+json"}
        response = scim.send(method, path, body, headers=headers)
        assert response.status_code < 500, (method, path, response.text)
    for path in ("/Users", "/Groups"):
        assert scim.send("GET", path, filter=query, count=query[:3]).status_code < 500
