"""What a policy says of a group, whatever names the vendor gives it."""

import base64
import json
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from encryption_service.policy.parse import parse_policy
from encryption_service.policy.policy import (
    DEFAULT_POLICY,
    GroupRule,
    Policy,
    Requirement,
)
from groupseal.suites import Suite

FEW = settings(deadline=None, max_examples=60)
GROUP = UUID("7f1d0b53-0000-4000-8000-000000000001")
OTHER = UUID("7f1d0b53-0000-4000-8000-000000000002")
ANA, BEN, CLEO = (bytes([number]) * 32 for number in (1, 2, 3))
_APPROVERS = [
    {"name": name, "key": base64.b64encode(key).decode()}
    for name, key in (("ana", ANA), ("ben", BEN), ("cleo", CLEO))
]


def policy(**fields: object) -> Policy:
    document = {"version": 1, "approvers": _APPROVERS, **fields}
    return parse_policy(json.dumps(document).encode())


def rule(given_policy: Policy, *names: str, group: UUID = GROUP) -> GroupRule:
    return given_policy.group_rule(group.bytes, names)


FINANCE = {"match": [{"name": "Finance*"}], "approvals": 2}


def test_without_a_policy_everything_is_allowed_and_nothing_protected() -> None:
    """The default is open, and an empty document is the default."""
    assert DEFAULT_POLICY.is_open
    assert rule(DEFAULT_POLICY, "Finance") == rule(DEFAULT_POLICY) == GroupRule(allowed=True)
    assert parse_policy(b"version: 1\n") == DEFAULT_POLICY


def test_protection_by_name_sticks_to_the_group_after_it_was_renamed() -> None:
    """Any name that the group ever had protects it."""
    protecting = policy(protected=[FINANCE])
    assert rule(protecting, "Finance Berlin").approvals == 2
    assert rule(protecting, "Lunch", "FINANCE Berlin").approvals == 2
    assert rule(protecting, "Lunch").approvals == 0


def test_protection_by_id_needs_no_name() -> None:
    """The id protects, and another group is not concerned."""
    protecting = policy(protected=[{"match": [{"id": str(GROUP)}], "approvals": 1}])
    assert rule(protecting, "Lunch").approvals == 1
    assert rule(protecting, "Lunch", group=OTHER).approvals == 0


def test_every_name_must_be_allowed() -> None:
    """A group that once had a name beyond the allowed ones does not get in by a new one."""
    allowing = policy(groups={"allow": [{"name": "Team *"}, {"name": "Guild *"}]})
    assert rule(allowing, "Team A").allowed
    assert rule(allowing, "Team A", "guild b").allowed
    assert not rule(allowing, "Team A", "Finance").allowed
    by_id = policy(groups={"allow": [{"name": "Team *"}, {"id": str(GROUP)}]})
    assert rule(by_id, "Finance").allowed
    assert not rule(by_id, "Finance", group=OTHER).allowed


def test_any_name_denies_whatever_is_allowed() -> None:
    """Denying goes before allowing, also by id."""
    denying = policy(groups={"deny": [{"name": "Old *"}, {"id": str(OTHER)}]})
    assert not rule(denying, "Team A", "old team").allowed
    assert not rule(denying, "Team A", group=OTHER).allowed
    assert rule(denying, "Team A").allowed


def test_a_group_without_a_name_is_taken_for_what_is_worst() -> None:
    """Leaving the name out is no way round a pattern."""
    assert rule(policy(protected=[FINANCE])).approvals == 2
    assert not rule(policy(groups={"deny": [{"name": "Old *"}]})).allowed
    assert not rule(policy(groups={"allow": [{"name": "Team *"}]})).allowed
    assert rule(policy(groups={"allow": [{"name": "Team *"}, {"name": "*"}]})).allowed


def test_every_rule_that_matches_must_be_satisfied() -> None:
    """Two rules: two of all, and one of Cleo alone; one signature may count for both."""
    protecting = policy(
        protected=[
            FINANCE,
            {"match": [{"name": "*Berlin"}], "approvals": 1, "approvers": ["cleo"]},
        ]
    )
    found = rule(protecting, "Finance Berlin")
    assert (found.approvals, found.approvers) == (2, frozenset({ANA, BEN, CLEO}))
    assert not found.satisfied_by([ANA, BEN])
    assert not found.satisfied_by([CLEO])
    assert found.satisfied_by([ANA, CLEO])


def test_a_signature_counts_once_and_only_an_approvers() -> None:
    """Neither repeating a signature nor a stranger's helps."""
    found = rule(policy(protected=[FINANCE]), "Finance")
    assert not found.satisfied_by([ANA, ANA])
    assert not found.satisfied_by([ANA, bytes(32)])
    assert found.satisfied_by([ANA, BEN, bytes(32)])


def test_into_a_protected_group_come_keys_that_stay_closed_only() -> None:
    """X-Wing alone; elsewhere the suites of the policy, or all that may be bound."""
    protecting = policy(protected=[FINANCE])
    assert rule(protecting, "Finance").suites == frozenset({Suite.XWING})
    assert rule(protecting, "Lunch").suites is None
    both = policy(protected=[FINANCE], suites=["xwing", "x25519"])
    assert rule(both, "Finance").suites == frozenset({Suite.XWING})
    assert rule(both, "Lunch").suites == frozenset(Suite)


def test_a_policy_is_open_only_while_nothing_in_it_holds_anybody_back() -> None:
    """What makes the fast path safe."""
    assert policy().is_open
    assert policy(keys={"approvals": 2}).is_open
    assert not policy(suites=["xwing"]).is_open
    assert not policy(freeze=True).is_open
    assert not policy(protected=[FINANCE]).is_open
    assert not policy(limits={"seals_per_hour": 5}).is_open
    assert not policy(limits={"seals_per_hour_per_group": 5}).is_open
    assert not policy(groups={"deny": [{"name": "x"}]}).is_open
    assert not policy(groups={"allow": []}).is_open
    assert not policy(groups={"allow": [{"name": "?*"}]}).is_open


def test_every_field_reaches_the_policy() -> None:
    """Names become keys, seconds milliseconds, suites suites."""
    found = policy(
        freeze=True,
        keys={"approvals": 1},
        limits={"seals_per_hour": 10, "seals_per_hour_per_group": 5},
        suites=["x25519", "xwing"],
        evidence={"replacement_max_auth_age_seconds": 60, "required_acr": ["phr"]},
    )
    assert dict(found.approvers) == {ANA: "ana", BEN: "ben", CLEO: "cleo"}
    assert (found.freeze, found.key_approvals) == (True, 1)
    assert (found.seals_per_hour, found.seals_per_hour_per_group) == (10, 5)
    assert found.suites == (Suite.X25519, Suite.XWING)
    assert found.replacement_max_auth_age_ms == 60_000
    assert found.required_acr == frozenset({"phr"})


def test_the_digest_tells_two_policies_apart_and_no_two_ways_to_write_one() -> None:
    """Order of fields, comments and written-out defaults make no other policy."""
    written = parse_policy(b"# ours\ngroups: {deny: [], allow: [{name: '*'}]}\nversion: 1\n")
    assert written.digest == DEFAULT_POLICY.digest
    assert len(written.digest) == 32
    assert policy(freeze=True).digest != policy().digest != DEFAULT_POLICY.digest


NAMES = st.lists(st.text(max_size=6), max_size=4)
PATTERNS = st.lists(
    st.one_of(
        st.text(alphabet="ab*?", min_size=1, max_size=4).map(lambda name: {"name": name}),
        st.sampled_from([{"id": str(GROUP)}, {"id": str(OTHER)}]),
    ),
    min_size=1,
    max_size=4,
)


@FEW
@given(PATTERNS, PATTERNS, PATTERNS, st.lists(st.text(alphabet="abc", max_size=3), max_size=3))
def test_another_name_never_opens_a_group(
    allow: list[dict[str, str]],
    deny: list[dict[str, str]],
    protect: list[dict[str, str]],
    names: list[str],
) -> None:
    """Each further name that a group gets can only restrict it, and so can having no name."""
    found = policy(
        groups={"allow": allow, "deny": deny}, protected=[{"match": protect, "approvals": 1}]
    )
    nameless = rule(found)
    for count in range(len(names)):
        before, after = rule(found, *names[:count]), rule(found, *names[: count + 1])
        if count:
            assert before.allowed or not after.allowed
            assert after.approvals >= before.approvals or not after.allowed
        assert after.allowed or not nameless.allowed
        assert nameless.approvals >= after.approvals or not nameless.allowed


@FEW
@given(
    st.lists(
        st.builds(
            lambda keys, count: Requirement(min(count, len(keys)), frozenset(keys)),
            st.sets(st.sampled_from([ANA, BEN, CLEO]), min_size=1),
            st.integers(1, 3),
        ),
        max_size=3,
    ),
    st.sets(st.sampled_from([ANA, BEN, CLEO, bytes(32)])),
)
def test_satisfied_means_that_nothing_is_missing_anywhere(
    requirements: list[Requirement], keys: set[bytes]
) -> None:
    """Against the definition, and: more signatures never take an approval away."""
    found = GroupRule(allowed=True, requirements=tuple(requirements))
    assert found.satisfied_by(keys) == all(
        sum(key in each.approvers for key in keys) >= each.approvals for each in requirements
    )
    if found.satisfied_by(keys):
        assert found.satisfied_by({*keys, ANA})
        assert len(found.approvers & keys) >= found.approvals
