"""Any filter: what the database finds is what a naive model finds."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scim_gateway.filter_grammar import Filter, parse_filter
from tests.support.scim_client import ScimClient, values
from tests.support.search_model import matches
from tests.support.search_strategies import GROUPS, USERS, filters

_RELAXED = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


class Population:
    """Users and groups, as clients read them one by one."""

    def __init__(self, scim: ScimClient) -> None:
        self._scim = scim
        users = [self._made("/Users", body) for body in USERS]
        groups = [
            self._made(
                "/Groups",
                {
                    "displayName": name,
                    **({"externalId": external_id} if external_id else {}),
                    "members": values([users[index] for index in members]),
                },
            )
            for name, external_id, members in GROUPS
        ]
        self.users = [scim.send("GET", f"/Users/{one}").json for one in users]
        self.groups = [scim.send("GET", f"/Groups/{one}").json for one in groups]
        everything = [*self.users, *self.groups]
        self.texts = sorted({text for one in everything for text in _texts(one) if text})
        created = [datetime.fromisoformat(one["meta"]["created"]) for one in everything]
        self.times = [time.isoformat() for time in created] + [
            (created[0] - timedelta(days=1)).isoformat(),
            (created[-1] + timedelta(hours=1)).isoformat(),
            "2026-01-31T08:00:00+05:30",
        ]

    def demand_agreement(self, tree: Filter, path: str) -> None:
        """The search finds what the model finds."""
        resources = self.users if path == "/Users" else self.groups
        body = {"filter": str(tree), "attributes": ["id"], "count": 1000}
        answer = self._scim.send("POST", f"{path}/.search", body)
        if answer.status_code == 400 and len(str(tree)) > 2_000:
            return
        assert answer.status_code == 200, (str(tree), answer.text)
        found = {one["id"] for one in answer.json["Resources"]}
        expected = {one["id"] for one in resources if matches(tree, one)}
        assert found == expected, str(tree)

    def _made(self, path: str, body: dict[str, Any]) -> str:
        answer = self._scim.send("POST", path, body)
        assert answer.status_code == 201, answer.text
        return str(answer.json["id"])


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in inner for text in _texts(one)]


def _agree(scim: ScimClient, path: str, examples: int) -> None:
    population = Population(scim)
    strategy = filters(population.texts, population.times, of_groups=path == "/Groups")

    @settings(max_examples=examples, deadline=None, suppress_health_check=_RELAXED, database=None)
    @given(strategy)
    def agree(tree: Filter) -> None:
        population.demand_agreement(tree, path)

    agree()


@pytest.mark.parametrize("path", ["/Users", "/Groups"])
def test_the_database_finds_what_the_model_finds(scim: ScimClient, path: str) -> None:
    """Comparisons, presence, elements, and, or, not: one answer from both."""
    _agree(scim, path, 60 if path == "/Users" else 30)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", ["/Users", "/Groups"])
def test_the_database_finds_what_the_model_finds_in_thousands_of_cases(
    scim: ScimClient, path: str
) -> None:
    """The same, for longer."""
    _agree(scim, path, 2_000)


def test_random_text_is_a_result_or_a_refusal(scim: ScimClient) -> None:
    """Never a failure, whatever stands in a filter; and what is no filter never finds anybody."""
    Population(scim)
    words = st.sampled_from(
        [
            *("userName", "emails", "emails.primary", "active", "meta.created", "name", "members"),
            *("eq", "ne", "co", "gt", "pr", "and", "or", "not", "(", ")", "[", "]", ".value"),
            *('"ada"', '"', "true", "null", "1", "-1.5e3", '"2026-01-31T08:00:00Z"', "\\", "ä"),
            *("urn:a:b:", "urn:ietf:params:scim:schemas:core:2.0:User", "$ref", "%00", "'"),
        ]
    )
    sentences = st.lists(words, min_size=1, max_size=9).map(" ".join)

    @settings(max_examples=80, deadline=None, suppress_health_check=_RELAXED, database=None)
    @given(sentences | st.text(max_size=40))
    def refused_or_answered(text: str) -> None:
        answer = scim.send("POST", "/.search", {"filter": text, "count": 1})
        if answer.status_code == 200:
            parse_filter(text)
        elif "\x00" not in text:
            assert answer.status_code == 400, (text, answer.text)
            assert answer.json["scimType"] == "invalidFilter"

    refused_or_answered()
