"""The documents know every reason code."""

import re
from pathlib import Path

from groupseal.reasons import Reason

_OPERATOR = Path(__file__).parents[2] / "docs" / "operator.md"


def test_the_operators_guide_lists_every_reason_with_its_remedy() -> None:
    """The table is the code's own, no row more or less."""
    rows = re.findall(r"^\| `([a-z_]+)` \| (.+) \|$", _OPERATOR.read_text(), re.MULTILINE)
    assert rows == [(str(reason), reason.remedy) for reason in Reason]
