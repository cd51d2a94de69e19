"""From a document to a `Policy`, with every fault named by field, line and remedy. Pure."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from types import MappingProxyType

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from encryption_service.policy.errors import Fault, Location, PolicyError
from encryption_service.policy.model import GroupMatchModel, PolicyModel, public_key_bytes
from encryption_service.policy.names import NamePattern
from encryption_service.policy.policy import (
    GroupMatch,
    Policy,
    Protection,
    Requirement,
    document_digest,
)
from encryption_service.policy.yaml_document import YamlDocument, read_yaml
from groupseal.identifiers import identifier_from_text
from groupseal.suites import Suite

# What pydantic says in words of its own that do not tell what to write.
_SENTENCES = {
    "extra_forbidden": "there is no such field: see `encryption-service policy schema`",
    "missing": "is missing",
    "string_type": "it must be text: put it in quotes",
    "int_type": "it must be a whole number",
    "bool_type": "it must be true or false",
    "list_type": "it must be a list: begin each of its lines with a hyphen",
    "model_type": "it must be a mapping of fields",
}


def parse_policy(data: bytes) -> Policy:
    """A policy of a YAML (or JSON) document. Raises PolicyError."""
    document = read_yaml(data)
    try:
        model = PolicyModel.model_validate(document.value)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
        raise PolicyError(*(_explain(each, document) for each in found)) from None
    faults = [
        Fault(location, sentence, document.line_of(location))
        for location, sentence in _contradictions(model)
    ]
    if faults:
        raise PolicyError(*faults)
    return _policy_of(model)


def _explain(error: ErrorDetails, document: YamlDocument) -> Fault:
    # A union adds the name of its branch (`constrained-str`, `list[…]`), which is no field.
    location: Location = tuple(error["loc"])
    while location and location not in document.lines and error["type"] != "missing":
        location = location[:-1]
    sentence = _SENTENCES.get(error["type"], error["msg"].removeprefix("Input ").strip())
    return Fault(location, sentence, document.line_of(location))


def _contradictions(model: PolicyModel) -> Iterator[tuple[Location, str]]:
    """What each field allows and the document as a whole does not."""
    names = [approver.name for approver in model.approvers]
    yield from _twice(names, "name", "approver")
    yield from _twice([approver.key for approver in model.approvers], "key", "approver")
    for i, rule in enumerate(model.protected):
        for j, name in enumerate(rule.approvers or ()):
            if name not in names:
                yield (
                    ("protected", i, "approvers", j),
                    f"no approver is named {name}: add name and key to `approvers`",
                )
        count = len(names if rule.approvers is None else rule.approvers)
        if rule.approvals > count:
            yield (("protected", i, "approvals"), _too_many(rule.approvals, count))
    if model.protected and model.suites is not None and "xwing" not in model.suites:
        yield (("suites",), "protected groups take xwing alone: add it, or nobody is let in")
    if model.keys.approvals > len(names):
        yield (("keys", "approvals"), _too_many(model.keys.approvals, len(names)))


def _twice(values: Iterable[str], field: str, what: str) -> Iterator[tuple[Location, str]]:
    seen: Counter[str] = Counter()
    for i, value in enumerate(values):
        seen[value] += 1
        if seen[value] > 1:
            yield (
                ("approvers", i, field),
                f"another {what} has this {field} already: one person counts once",
            )


def _too_many(wanted: int, there_are: int) -> str:
    return (
        f"{wanted} approvals are wanted of {there_are} approvers: nobody could ever be let in. "
        "Name more approvers or ask for fewer"
    )


def _policy_of(model: PolicyModel) -> Policy:
    document = json.dumps(
        model.model_dump(mode="json", exclude_defaults=True),
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    )
    keys = {approver.name: public_key_bytes(approver.key) for approver in model.approvers}
    suites = model.suites
    return Policy(
        digest=document_digest(document),
        document=document,
        freeze=model.freeze,
        allow=_matches(model.groups.allow),
        deny=_matches(model.groups.deny),
        protected=tuple(
            Protection(
                _matches(rule.match),
                Requirement(
                    rule.approvals,
                    frozenset(keys[name] for name in (rule.approvers or keys)),
                ),
            )
            for rule in model.protected
        ),
        approvers=MappingProxyType({key: name for name, key in keys.items()}),
        key_approvals=model.keys.approvals,
        suites=None if suites is None else tuple(Suite[name.upper()] for name in suites),
        seals_per_hour=model.limits.seals_per_hour,
        seals_per_hour_per_group=model.limits.seals_per_hour_per_group,
        replacement_max_auth_age_ms=model.evidence.replacement_max_auth_age_seconds * 1000,
        required_acr=frozenset(model.evidence.required_acr),
    )


def _matches(models: Iterable[GroupMatchModel]) -> tuple[GroupMatch, ...]:
    return tuple(
        GroupMatch(group_id=identifier_from_text(each.id))
        if each.id is not None
        else GroupMatch(pattern=NamePattern(each.name or ""))
        for each in models
    )
