"""Pure rules: the state of a membership, and what a sequence of operations boils down to."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from directory.membership_change import MemberOperation, Verb, boil_down
from directory.membership_state import MembershipFacts, state_of

_GRANTED = MembershipFacts(
    desired=True,
    wanted=True,
    rostered=True,
    held_reason=None,
    reason=None,
    grant_epoch=2,
    epoch=2,
    epoch_open=True,
    has_bound_key=True,
)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, ("committed", None)),
        ({"epoch_open": False}, ("rotating", "rotating")),
        ({"epoch": 3}, ("rotating", "rotating")),
        ({"grant_epoch": None}, ("waiting", "queued")),
        ({"grant_epoch": None, "reason": "suite_not_allowed"}, ("waiting", "suite_not_allowed")),
        ({"grant_epoch": None, "has_bound_key": False}, ("waiting", "no_key")),
        ({"wanted": False}, ("leaving", None)),
        ({"wanted": False, "rostered": False}, ("gone", None)),
        (
            {"wanted": False, "held_reason": "held_after_restore"},
            ("waiting", "held_after_restore"),
        ),
        (
            {"wanted": False, "desired": False, "held_reason": "held_after_restore"},
            ("leaving", None),
        ),
    ],
)
def test_the_state_of_a_membership(
    changed: dict[str, object], expected: tuple[str, str | None]
) -> None:
    """One word, and why it waits."""
    facts = replace(_GRANTED, **changed)  # type: ignore[arg-type] # the fields of the table above
    assert state_of(facts) == expected


_VALUES = st.sampled_from(["a", "A-alias", "b", "c", "unknown"])
_KEYS = {"a": 1, "A-alias": 1, "b": 2, "c": 3}
_OPERATIONS = st.lists(
    st.builds(
        MemberOperation,
        st.sampled_from(Verb),
        st.dictionaries(_VALUES, st.none(), max_size=3),
    ),
    max_size=6,
)


@given(operations=_OPERATIONS, before=st.sets(st.sampled_from([1, 2, 3])))
def test_operations_boil_down_to_their_effect(
    operations: list[MemberOperation], before: set[int]
) -> None:
    """One change leads to the same members as the operations one after another, aliases too."""
    members = set(before)
    for operation in operations:
        named = {_KEYS[value] for value in operation.members if value in _KEYS}
        match operation.verb:
            case Verb.ADD:
                members |= named
            case Verb.REMOVE:
                members -= named
            case Verb.REPLACE:
                members = named
    change = boil_down(operations, _KEYS)
    assert change.removed.isdisjoint(change.added)
    assert (set() if change.replaces else before - change.removed) | set(change.added) == members
