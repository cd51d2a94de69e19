"""docs/operator.md names every setting of the sweeper, with its default."""

import re
from pathlib import Path

from directory.settings import DirectorySettings
from worker.settings import WatchingSettings

_GUIDE = (Path(__file__).parents[2] / "docs" / "operator.md").read_text()


def test_every_setting_of_the_sweeper_is_listed_with_its_default() -> None:
    """Those that all components have are not the sweeper's own."""
    own = WatchingSettings.model_fields.keys() - DirectorySettings.model_fields.keys()
    for name in own - {"log_level"}:
        row = re.search(rf"^\| `GROUPSEAL_{name.upper()}` \| (.+?) \|", _GUIDE, re.MULTILINE)
        assert row, name
        default = WatchingSettings.model_fields[name].default
        shown = row[1].replace(",", "")
        assert shown == ("none" if default is None else f"{default}".lower().removesuffix(".0"))
