"""`groupseal scim-token`: shown once, several live, rotated with an overlap, revoked at once."""

import hashlib
import json
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask

from groupseal.cli import main
from tests.support.scim_client import ScimClient


class TokenCommand:
    """`groupseal scim-token` for the tenant of one client."""

    def __init__(self, database_url: str, tenant: str = "tenant") -> None:
        self._environment = {"GROUPSEAL_DATABASE_URL": database_url}
        self._tenant = tenant

    def run(self, *arguments: str, status: int = 0) -> str:
        """Runs it; what it printed."""
        done = CliRunner().invoke(
            main,
            ["scim-token", *arguments, "--tenant", self._tenant],
            env=self._environment,
        )
        assert done.exit_code == status, done.output
        return done.output

    def json(self, *arguments: str) -> Any:
        """The same with `--json`."""
        return json.loads(self.run(*arguments, "--json"))


@pytest.fixture
def tokens(database_url: str, scim: ScimClient) -> TokenCommand:
    """The command for the tenant of `scim`."""
    return TokenCommand(database_url)


def _status(app: Flask, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return app.test_client().get("/scim/v2/Users", headers=headers).status_code


def test_a_token_is_shown_once_and_stored_as_a_hash(
    app: Flask, tokens: TokenCommand, scim: ScimClient
) -> None:
    """The list has its prefix; the database its SHA-256; no later output holds the token."""
    made = tokens.json("create", "--expires-in", "90d")["scim_token"]
    assert _status(app, made) == _status(app, scim.token) == 200
    (row,) = scim.rows(
        "SELECT token_hash, expires_at - created_at AS valid FROM scim_tokens"
        " WHERE prefix = :prefix",
        prefix=made[:12],
    )
    assert bytes(row.token_hash) == hashlib.sha256(made.encode()).digest()
    assert row.valid.days == 90
    told = tokens.run("list") + tokens.run("list", "--json")
    assert made[:12] in told
    assert made not in told
    text = tokens.run("create")
    assert text.count("gs_scim_") == 1
    assert "Next: enter it at the identity provider" in text


def test_rotation_leaves_the_old_one_an_overlap(
    app: Flask, tokens: TokenCommand, scim: ScimClient
) -> None:
    """Both work; the old one ends after the overlap, a day unless told; the new one goes on."""
    done = tokens.json("rotate")
    assert done["replaces"]["prefix"] == scim.token[:12]
    assert done["expires_at"] is None
    assert _status(app, scim.token) == _status(app, done["scim_token"]) == 200
    (row,) = scim.rows(
        "SELECT extract(epoch FROM expires_at - now()) AS left FROM scim_tokens"
        " WHERE prefix = :prefix",
        prefix=scim.token[:12],
    )
    assert 86_000 < row.left <= 86_400
    told = tokens.run("rotate", status=1)
    assert scim.token[:12] in told
    assert "name the token" in told
    assert _status(app, tokens.json("rotate", scim.token[:12], "--overlap", "0")["scim_token"])
    assert _status(app, scim.token) == 401


def test_a_rotation_keeps_the_lifetime_and_prolongs_nothing(
    tokens: TokenCommand, scim: ScimClient
) -> None:
    """A token made for 30 days is followed by one for 30 days; an earlier end stays."""
    first = tokens.json("create", "--expires-in", "2h")["scim_token"]
    tokens.run("revoke", scim.token[:12])
    done = tokens.json("rotate", "--overlap", "7d")
    ends = {one["prefix"]: one["expires_at"] for one in tokens.json("list")["tokens"]}
    assert ends[first[:12]] == done["replaces"]["expires_at"]
    (row,) = scim.rows(
        "SELECT expires_at - created_at AS valid FROM scim_tokens WHERE prefix = :prefix",
        prefix=done["scim_token"][:12],
    )
    assert row.valid.total_seconds() == 7200


def test_revoking_takes_effect_with_the_next_request(
    app: Flask, tokens: TokenCommand, scim: ScimClient
) -> None:
    """Revoked twice is revoked; the last one revoked is said, with what to do."""
    other = tokens.json("create")["scim_token"]
    assert tokens.json("revoke", scim.token[:12])["live_tokens"] == 1
    assert (_status(app, scim.token), _status(app, other)) == (401, 200)
    assert "scim-token create" in tokens.run("revoke", other)
    assert _status(app, other) == 401
    states = {one["state"] for one in tokens.json("list")["tokens"]}
    assert states == {"revoked"}
    assert "No token is live" in tokens.run("list")
    tokens.run("revoke", other[:12])


def test_the_last_use_is_shown(tokens: TokenCommand, scim: ScimClient) -> None:
    """Never, then a time."""
    assert tokens.json("list")["tokens"][0]["last_used_at"] is None
    scim.send("GET", "/Users")
    assert tokens.json("list")["tokens"][0]["last_used_at"].endswith("+00:00")


def test_tokens_of_another_tenant_are_unknown(
    app: Flask, tokens: TokenCommand, other_scim: ScimClient
) -> None:
    """They are neither listed nor revoked nor rotated."""
    assert other_scim.token[:12] not in tokens.run("list")
    for command in ("revoke", "rotate"):
        told = tokens.run(command, other_scim.token, status=1)
        assert "no such token" in told
        assert other_scim.token not in told
    assert _status(app, other_scim.token) == 200


@pytest.mark.parametrize("duration", ["0", "1w", "d", "-1d", "1.5h", "999999d", "٣d"])
def test_an_expiry_that_is_none_is_refused(tokens: TokenCommand, duration: str) -> None:
    """Status 2 and a sentence."""
    told = tokens.run("create", "--expires-in", duration, status=2)
    assert "--expires-in" in told


def test_an_unknown_tenant_is_status_1(database_url: str) -> None:
    """With the command that lists them."""
    assert "tenant status" in TokenCommand(database_url, "nobody").run("list", status=1)
