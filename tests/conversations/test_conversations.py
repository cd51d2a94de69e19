"""What identity providers send, from the files beside, played over HTTP on a running gateway."""

import pytest
from sqlalchemy import Engine

from tests.conversations.player import Player
from tests.conversations.scenario import load_scenario, scenario_names


@pytest.mark.parametrize("name", scenario_names())
def test_conversation(base_url: str, engine: Engine, name: str) -> None:
    """Every answer is as the scenario says, and obeys the rules of every answer."""
    Player(base_url, engine, load_scenario(name)).play()
