"""How an approver compares a fingerprint: by typing what the member reads out, not by nodding.

Which groups are asked for is drawn anew each time, so that it does not help anybody to have made a
key that agrees with the member's in the first few.
"""

from collections.abc import Sequence

from groupseal.identifiers import same_fingerprint

GROUPS_ASKED = 2


def without(fingerprint: str, asked: Sequence[int]) -> str:
    """The fingerprint with the groups (counted from 0) that the approver shall type left open."""
    groups = fingerprint.split("-")
    return "-".join("·" * len(g) if i in asked else g for i, g in enumerate(groups))


def agrees(typed: str, fingerprint: str, asked: Sequence[int]) -> bool:
    """Whether the typed text is those groups, in their order; case and hyphens do not count."""
    groups = fingerprint.split("-")
    return same_fingerprint(typed, "".join(groups[i] for i in asked))
