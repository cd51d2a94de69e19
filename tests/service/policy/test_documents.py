"""Which documents are policies, and what is said of those that are not."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from encryption_service.policy import model
from encryption_service.policy.errors import PolicyError
from encryption_service.policy.parse import parse_policy
from encryption_service.policy.schema import schema_text

FEW = settings(deadline=None, max_examples=60)
_SCHEMA = Path(model.__file__).with_name("policy.schema.json")
_KEY = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
_OTHER_KEY = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="
_ANA = f"approvers: [{{name: ana, key: {_KEY}}}]\n"

_FAULTS = {
    "a later version": ("version: 2", "line 1: version: should be 1"),
    "no version": ("freeze: true", "version: is missing"),
    "an unknown field": ("version: 1\nfreez: true", "line 2: freez: there is no such field"),
    "text for a number": (
        "version: 1\nlimits: {seals_per_hour: lots}",
        "line 2: limits.seals_per_hour: it must be a whole number",
    ),
    "a number for a name": (
        "version: 1\ngroups:\n  deny:\n    - name: 2024",
        "line 4: groups.deny[0].name: it must be text: put it in quotes",
    ),
    "text for a truth": ("version: 1\nfreeze: 'on'", "freeze: it must be true or false"),
    "a field for a list": ("version: 1\nprotected: {}", "protected: it must be a list"),
    "a list for fields": ("version: 1\ngroups: []", "groups: it must be a mapping"),
    "a star without quotes": (
        "version: 1\ngroups: {allow: [{name: *}]}",
        "line 2: not well-formed YAML",
    ),
    "neither id nor name": ("version: 1\ngroups: {deny: [{}]}", "give either `id` or `name`"),
    "no UUID": ("version: 1\ngroups: {deny: [{id: 7f}]}", "groups.deny[0].id: it is a UUID"),
    "an empty match": (
        f"version: 1\n{_ANA}protected: [{{match: [], approvals: 1}}]",
        "protected[0].match:",
    ),
    "no approvals": (
        f"version: 1\n{_ANA}protected: [{{match: [{{name: x}}], approvals: 0}}]",
        "protected[0].approvals: should be greater than or equal to 1",
    ),
    "more approvals than approvers": (
        f"version: 1\n{_ANA}protected: [{{match: [{{name: x}}], approvals: 2}}]",
        "line 3: protected[0].approvals: 2 approvals are wanted of 1 approvers",
    ),
    "more approvals for keys than approvers": (
        f"version: 1\n{_ANA}keys: {{approvals: 2}}",
        "line 3: keys.approvals: 2 approvals are wanted of 1 approvers",
    ),
    "an unknown approver": (
        f"version: 1\n{_ANA}protected: [{{match: [{{name: x}}], approvals: 1, approvers: [ben]}}]",
        "protected[0].approvers[0]: no approver is named ben",
    ),
    "a value twice": (
        f"version: 1\n{_ANA}keys: {{}}\nevidence: {{required_acr: [a, a]}}",
        "line 4: evidence.required_acr: a value is there twice",
    ),
    "two approvers of one name": (
        f"version: 1\napprovers: [{{name: ana, key: {_KEY}}}, {{name: ana, key: {_OTHER_KEY}}}]",
        "approvers[1].name: another approver has this name",
    ),
    "two approvers of one key": (
        f"version: 1\napprovers: [{{name: ana, key: {_KEY}}}, {{name: ben, key: {_KEY}}}]",
        "approvers[1].key: another approver has this key",
    ),
    "bad base64": (
        "version: 1\napprovers: [{name: ana, key: AAAA}]",
        "approvers[0].key: it is an Ed25519 public key",
    ),
    "base64 with bits left over": (
        f"version: 1\napprovers: [{{name: ana, key: {_KEY.replace('E=', 'F=')}}}]",
        "approvers[0].key: it is an Ed25519 public key",
    ),
    "an unknown suite": ("version: 1\nsuites: [rsa]", "suites[0]: should be 'xwing' or 'x25519'"),
    "protected groups and no suite for them": (
        f"version: 1\n{_ANA}protected: [{{match: [{{name: x}}], approvals: 1}}]\nsuites: [x25519]",
        "line 4: suites: protected groups take xwing alone",
    ),
    "no suite": ("version: 1\nsuites: []", "suites: "),
    "a field twice": ("version: 1\nfreeze: true\nfreeze: false", "line 3: freeze: is there twice"),
    "an alias": ("version: 1\na: &x [1]\nb: *x", "line 3: aliases (*name) are not allowed"),
    "a merge key": ("version: 1\n<<: {freeze: true}", "line 2: the name of a field"),
    "a tag": ("version: !!python/object:os.x 1", "has a YAML tag"),
    "a fraction": ("version: 1.0", "is no plain whole number"),
    "a hexadecimal number": ("version: 0x1", "is no plain whole number"),
    "a name that cannot be seen": (
        'version: 1\ngroups: {deny: [{name: "\\u200b"}]}',
        "groups.deny[0].name: it must have visible characters",
    ),
    "two documents": ("version: 1\n---\nversion: 1", "not well-formed YAML"),
    "nothing": ("", "write at least `version: 1`"),
    "a list": ("- version: 1", "it must be a mapping of fields"),
    "a character that YAML has not": ("version: 1 # \x07", "characters that YAML does not allow"),
}


@pytest.mark.parametrize(("text", "said"), _FAULTS.values(), ids=_FAULTS.keys())
def test_a_wrong_document_is_refused_with_the_field_and_the_remedy(text: str, said: str) -> None:
    """A sentence names line and field."""
    with pytest.raises(PolicyError) as caught:
        parse_policy(text.encode())
    assert said in str(caught.value)


def test_every_fault_is_named_at_once() -> None:
    """Nobody has to correct a file five times."""
    with pytest.raises(PolicyError) as caught:
        parse_policy(b"version: 1\nfreez: 1\nkeys: {approvals: -1}\nsuites: [a]\n")
    assert [fault.line for fault in caught.value.faults] == [3, 4, 2]


def test_a_few_hundred_bytes_cannot_describe_gigabytes() -> None:
    """Aliases, depth, size and number are bounded before anything is built."""
    laughs = "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n"
    for text in (
        laughs,
        "[" * 100_000,
        "a: " + "{b: " * 50_000,
        "version: 1 #" + "x" * 300_000,
        "[" + "1," * 30_000 + "]",
    ):
        with pytest.raises(PolicyError):
            parse_policy(text.encode())


def test_what_is_not_utf_8_is_refused() -> None:
    """A byte order mark in front is taken; another encoding is not."""
    assert parse_policy(b"\xef\xbb\xbfversion: 1\n").is_open
    with pytest.raises(PolicyError, match="UTF-8"):
        parse_policy("version: 1 # ü".encode("latin-1"))


@FEW
@given(st.text(alphabet=st.sampled_from("version: 1\n-[]{}*&!|>'\"#,?%@`<=~"), max_size=60))
@example("? [a]\n: 1")
@example("version: 1\nfreeze: ~")
def test_any_text_is_a_policy_or_a_policy_error(text: str) -> None:
    """Nothing else ever comes out of a file."""
    assert _is_policy(text.encode()) in {True, False}


@FEW
@given(st.binary(max_size=80))
def test_any_bytes_are_a_policy_or_a_policy_error(data: bytes) -> None:
    """Nor out of anything else."""
    assert _is_policy(data) in {True, False}


def _is_policy(data: bytes) -> bool:
    try:
        parse_policy(data)
    except PolicyError:
        return False
    return True


_MATCH = st.one_of(
    st.uuids().map(lambda each: {"id": str(each)}),
    st.text(min_size=1, max_size=10)
    .filter(lambda text: text.isprintable() and text.strip() != "")
    .map(lambda name: {"name": name}),
)
_DOCUMENTS = st.fixed_dictionaries(
    {"version": st.just(1)},
    optional={
        "freeze": st.booleans(),
        "groups": st.fixed_dictionaries(
            {},
            optional={"allow": st.lists(_MATCH, max_size=3), "deny": st.lists(_MATCH, max_size=3)},
        ),
        "limits": st.fixed_dictionaries({}, optional={"seals_per_hour": st.integers(1, 10**9)}),
        "suites": st.lists(st.sampled_from(["xwing", "x25519"]), min_size=1, unique=True),
        "evidence": st.fixed_dictionaries(
            {}, optional={"replacement_max_auth_age_seconds": st.integers(30, 86_400)}
        ),
    },
)


@FEW
@given(_DOCUMENTS)
def test_a_policy_is_the_same_however_it_is_written_down(document: dict[str, object]) -> None:
    """JSON, YAML and the canonical form of it are one policy; the schema takes each of them."""
    jsonschema.validate(document, json.loads(_SCHEMA.read_text()))
    found = parse_policy(json.dumps(document, ensure_ascii=False).encode())
    assert (
        parse_policy(yaml.safe_dump(document, allow_unicode=True).encode()).digest == found.digest
    )
    assert parse_policy(found.document.encode()) == found


def test_the_schema_beside_the_model_is_the_models_own() -> None:
    """`encryption-service policy schema` made it; editors may read it from the project."""
    assert _SCHEMA.read_text() == schema_text()
    jsonschema.Draft202012Validator.check_schema(json.loads(schema_text()))


def test_the_schema_refuses_what_it_can() -> None:
    """An unknown field and a wrong type are marked in the editor already."""
    validator = jsonschema.Draft202012Validator(json.loads(schema_text()))
    assert not validator.is_valid({"version": 1, "freez": True})
    assert not validator.is_valid({"version": 1, "freeze": "on"})
    assert validator.is_valid({"version": 1, "freeze": True})
