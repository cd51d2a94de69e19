"""The policy's document: its fields, their bounds and what each is for.

The JSON Schema beside this file is made of these classes; editors show its texts.
"""

import base64
import binascii
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from encryption_service.policy.policy import REPLACEMENT_MAX_AUTH_AGE_SECONDS
from groupseal.errors import MalformedError
from groupseal.identifiers import identifier_from_text
from groupseal.suites import SIGNING_KEY_LENGTH

_MAX_APPROVALS = 16
_MAX_SEALS = 1_000_000_000
_KEY_TEXT_LENGTH = 44


def _uuid(text: str) -> str:
    try:
        identifier_from_text(text)
    except MalformedError:
        raise PydanticCustomError(
            "uuid_text", "it is a UUID in lower case with hyphens, as `groups list` shows it"
        ) from None
    return text


def _pattern(text: str) -> str:
    """What cannot be seen is not compared either, and would mislead whoever reads the policy."""
    if not text.isprintable() or not text.strip():
        raise PydanticCustomError(
            "visible_text", "it must have visible characters, and plain spaces, only"
        )
    return text


def public_key_bytes(text: str) -> bytes:
    """The 32 bytes of a key in standard base64 with its padding. Raises ValueError."""
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    if len(key) != SIGNING_KEY_LENGTH or base64.b64encode(key).decode() != text:
        raise ValueError("not the one representation of 32 bytes")
    return key


def _public_key(text: str) -> str:
    try:
        public_key_bytes(text)
    except ValueError:
        raise PydanticCustomError(
            "public_key",
            "it is an Ed25519 public key: 32 bytes in base64, as `groupseal approver public` "
            "prints it",
        ) from None
    return text


def _unique(values: list[str]) -> list[str]:
    if len(set(values)) != len(values):
        raise PydanticCustomError("unique", "a value is there twice: keep one of them")
    return values


ApproverName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$", description="A short name.")
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class GroupMatchModel(_Strict):
    """A group's id, or a pattern of its name: `*` is any characters, `?` one. One of the two."""

    id: Annotated[
        Annotated[str, AfterValidator(_uuid)] | None,
        Field(description="The group's id, as `encryption-service groups list` shows it."),
    ] = None
    name: Annotated[
        Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_pattern)] | None,
        Field(description="The whole name with wildcards; case does not count."),
    ] = None

    @model_validator(mode="after")
    def _one(self) -> "GroupMatchModel":
        if (self.id is None) == (self.name is None):
            raise PydanticCustomError("one_of", "give either `id` or `name`")
        return self


class GroupsModel(_Strict):
    """Which groups may get new members at all."""

    allow: list[GroupMatchModel] = Field(
        default=[GroupMatchModel(name="*")],
        description="Only these. Every name that the group ever had must be allowed.",
    )
    deny: list[GroupMatchModel] = Field(
        default=[],
        description="Never these, whatever `allow` says. Any name that the group ever had counts.",
    )


class ProtectedModel(_Strict):
    """Groups that a key enters by approval only."""

    match: list[GroupMatchModel] = Field(
        min_length=1, description="Any name that the group ever had counts."
    )
    approvals: int = Field(
        ge=1, le=_MAX_APPROVALS, description="How many approvers must sign, each of them once."
    )
    approvers: Annotated[list[ApproverName], AfterValidator(_unique)] | None = Field(
        default=None, min_length=1, description="Whose signatures count; default: all approvers'."
    )


class ApproverModel(_Strict):
    """A person who approves with a key of their own."""

    name: ApproverName
    key: Annotated[str, AfterValidator(_public_key)] = Field(
        description="Ed25519 public key in base64, as `groupseal approver public` prints it.",
        json_schema_extra={"minLength": _KEY_TEXT_LENGTH, "maxLength": _KEY_TEXT_LENGTH},
    )


class KeysModel(_Strict):
    """What a member's new key needs in trust mode `approve`."""

    approvals: int = Field(
        default=0,
        ge=0,
        le=_MAX_APPROVALS,
        description="Approvers' signatures; 0: `encryption-service keys approve` suffices.",
    )


class LimitsModel(_Strict):
    """How many keys may be added to groups. Removals and rotations never count."""

    seals_per_hour: int | None = Field(
        default=None, ge=1, le=_MAX_SEALS, description="In all groups together."
    )
    seals_per_hour_per_group: int | None = Field(
        default=None, ge=1, le=_MAX_SEALS, description="In each group."
    )


class EvidenceModel(_Strict):
    """What evidence of the identity provider must show in trust mode `oidc`."""

    replacement_max_auth_age_seconds: int = Field(
        default=REPLACEMENT_MAX_AUTH_AGE_SECONDS,
        ge=30,
        le=86_400,
        description="How old the sign-in may be with which a member replaces keys.",
    )
    required_acr: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=256)]], AfterValidator(_unique)
    ] = Field(
        default=[],
        max_length=32,
        description="The token's `acr` must be one of these; empty: any, or none.",
    )


class PolicyModel(_Strict):
    """The customer's policy of an encryption service. It holds additions back, never removals."""

    version: Literal[1] = Field(description="The version of this document's format.")
    freeze: bool = Field(default=False, description="Add nobody to any group.")
    groups: GroupsModel = GroupsModel()
    protected: list[ProtectedModel] = Field(
        default=[], description="Every rule that matches a group must be satisfied."
    )
    approvers: list[ApproverModel] = Field(default=[], max_length=1_000)
    keys: KeysModel = KeysModel()
    limits: LimitsModel = LimitsModel()
    suites: (
        Annotated[list[Literal["xwing", "x25519"]], Field(min_length=1), AfterValidator(_unique)]
        | None
    ) = Field(default=None, description="Of members' keys; default: those that the settings allow.")
    evidence: EvidenceModel = EvidenceModel()
