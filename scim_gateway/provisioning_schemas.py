"""Our own extensions (RFC 7643 §3.3): what of a push is in effect, and what waits for what.

Everything in them is readOnly: it is told, never taken.
"""

from typing import Any

from directory.provisioning_view import Progress
from directory.standing import Standing
from scim_gateway.attributes import PROVISIONING_GROUP_SCHEMA, PROVISIONING_USER_SCHEMA


def _attribute(name: str, kind: str, description: str, **differing: Any) -> dict[str, Any]:
    attribute: dict[str, Any] = {
        "name": name,
        "type": kind,
        "multiValued": False,
        "description": description,
        "required": False,
        "mutability": "readOnly",
        "returned": "default",
    }
    if kind in {"string", "reference"}:
        attribute |= {"caseExact": True, "uniqueness": "none"}
    return attribute | differing


def _schema(urn: str, description: str, *attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": urn,
        "name": "Provisioning" + urn.rpartition(":")[2],
        "description": description,
        "attributes": list(attributes),
    }


def _counts(of: str, *more: dict[str, Any]) -> dict[str, Any]:
    return _attribute(
        "counts",
        "complex",
        f"{of} by what is in effect of them.",
        subAttributes=[
            _attribute("desired", "integer", "All that the identity provider wants."),
            _attribute("committed", "integer", "Those that hold the group's present key."),
            _attribute("waiting", "integer", "Those that will; `reasons` says what they wait for."),
            _attribute("refused", "integer", "Those that the encryption service refused."),
            _attribute("held", "integer", "Those in doubt since a database was restored."),
            _attribute("inactive", "integer", "Those desired whose user is not active."),
            _attribute("leaving", "integer", "Those not desired any more, until that is sealed."),
            *more,
        ],
    )


def _state(of: str) -> dict[str, Any]:
    return _attribute(
        "state",
        "string",
        f"{of} in one word: everything is in effect; work is under way; what is left needs a "
        "person; or nothing goes on until the vendor's operator acts.",
        canonicalValues=[one.value for one in Progress],
    )


_SINCE = _attribute("since", "dateTime", "When the oldest change was pushed that is not in effect.")
_REASONS = _attribute(
    "reasons",
    "complex",
    "Why some are waiting or refused.",
    multiValued=True,
    subAttributes=[
        _attribute("reason", "string", "The reason, one of a fixed list."),
        _attribute("count", "integer", "How many it holds up."),
    ],
)


def _detail(name: str, description: str) -> dict[str, Any]:
    return _attribute(
        name,
        "complex",
        description,
        multiValued=True,
        returned="request",
        subAttributes=[
            _attribute("value", "string", "The id."),
            _attribute(
                "state",
                "string",
                "What is in effect of it.",
                canonicalValues=[one.value for one in Standing],
            ),
            _attribute("reason", "string", "Why it is not committed."),
            _attribute("since", "dateTime", "When it was last pushed."),
            _attribute("nextAttempt", "dateTime", "When it is tried again."),
        ],
    )


GROUP_PROVISIONING = _schema(
    PROVISIONING_GROUP_SCHEMA,
    "How much of a group's desired list of members is in effect. With a single group that is read "
    "with its members; elsewhere on request.",
    _state("The group"),
    _SINCE,
    _attribute("reason", "string", "Why the group as a whole is not in effect at the moment."),
    _attribute("epoch", "integer", "Number of the group's key."),
    _attribute("epochOpen", "boolean", "False while the key is being replaced."),
    _counts(
        "Members",
        _attribute("unresolved", "integer", "Pushed values that no user of the tenant has."),
    ),
    _REASONS,
    _attribute(
        "unresolved",
        "string",
        "Pushed values that no user has, the oldest first, and the first hundred only.",
        multiValued=True,
    ),
    _detail("members", "What is in effect of each member."),
)
USER_PROVISIONING = _schema(
    PROVISIONING_USER_SCHEMA,
    "How much of a user's desired memberships is in effect. With a single user who is read; "
    "elsewhere on request.",
    _state("The user"),
    _SINCE,
    _attribute("devices", "integer", "Devices whose keys are bound."),
    _counts("Memberships"),
    _REASONS,
    _detail("memberships", "What is in effect of each membership."),
)
