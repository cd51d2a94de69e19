"""The documents know every reason code."""

import re
from pathlib import Path

from groupseal.reasons import Reason

_OPERATOR = Path(__file__).parents[2] / "docs" / "operator.md"


def test_the_operators_guide_lists_every_reason_with_its_remedy() -> None:
    """The table is the code's own, no row more or less."""
    rows = re.findall(r"^\| `([a-z_]+)` \| (.+) \|$", _OPERATOR.read_text(), re.MULTILINE)
    assert rows == [(str(reason), reason.remedy) for reason in Reason]


def test_the_guide_says_who_has_to_act_for_every_reason() -> None:
    """Each reason of a member, a key or a tenant that waits is in one row, whoever's it is."""
    (table,) = re.findall(
        r"^\| who has to act .*?(?=^\n)", _OPERATOR.read_text(), re.MULTILINE | re.DOTALL
    )
    named = re.findall(r"`([a-z_]+)`", table)
    reasons = list(Reason)
    waiting = set(reasons[reasons.index(Reason.UNPINNED_SERVICE) :])
    of_evidence = {each for each in waiting if each.startswith("evidence_")}
    assert waiting - of_evidence <= set(named)
    assert "`evidence_*`" in table
    assert set(named) <= set(reasons)
