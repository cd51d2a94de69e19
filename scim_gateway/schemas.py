"""The schemas that are served (RFC 7643 §8.7), with the attributes that this server uses."""

from typing import Any

from scim_gateway.attributes import ENTERPRISE_SCHEMA, GROUP_SCHEMA, USER_SCHEMA


def _attribute(
    name: str,
    kind: str = "string",
    *,
    sub: list[dict[str, Any]] | None = None,
    **differing: object,
) -> dict[str, Any]:
    attribute: dict[str, Any] = {
        "name": name,
        "type": kind,
        "multiValued": False,
        "description": _DESCRIPTIONS.get(name, name),
        "required": False,
        "mutability": "readWrite",
        "returned": "default",
    }
    if kind in {"string", "reference"}:
        attribute |= {"caseExact": False, "uniqueness": "none"}
    if sub is not None:
        attribute["subAttributes"] = sub
    return attribute | differing


def _multi_valued(name: str) -> dict[str, Any]:
    sub = [
        _attribute("value"),
        _attribute("type"),
        _attribute("display"),
        _attribute("primary", "boolean"),
    ]
    return _attribute(name, "complex", sub=sub, multiValued=True)


def _schema(urn: str, name: str, description: str, *attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": urn,
        "name": name,
        "description": description,
        "attributes": list(attributes),
    }


_DESCRIPTIONS = {
    "userName": "Unique in the tenant, compared without case.",
    "externalId": "The identity provider's own id of the resource.",
    "active": "An inactive user is served nothing from the moment this is stored.",
    "displayName": "The name that people see.",
    "members": "Users of this tenant. Unknown ones are awaited and join when they are created.",
}
_EXTERNAL_ID = _attribute("externalId", caseExact=True)
_NAME = _attribute(
    "name",
    "complex",
    sub=[
        _attribute(part)
        for part in (
            "formatted",
            "familyName",
            "givenName",
            "middleName",
            "honorificPrefix",
            "honorificSuffix",
        )
    ],
)
_ADDRESSES = _attribute(
    "addresses",
    "complex",
    multiValued=True,
    sub=[
        *(
            _attribute(part)
            for part in (
                "formatted",
                "streetAddress",
                "locality",
                "region",
                "postalCode",
                "country",
                "type",
            )
        ),
        _attribute("primary", "boolean"),
    ],
)
SCHEMAS = {
    USER_SCHEMA: _schema(
        USER_SCHEMA,
        "User",
        "A person of the tenant",
        _attribute("userName", required=True, uniqueness="server"),
        _EXTERNAL_ID,
        _NAME,
        _attribute("displayName"),
        _multi_valued("emails"),
        _attribute("active", "boolean"),
        *(
            _attribute(name)
            for name in (
                "nickName",
                "profileUrl",
                "title",
                "userType",
                "preferredLanguage",
                "locale",
                "timezone",
            )
        ),
        *(
            _multi_valued(name)
            for name in ("phoneNumbers", "ims", "photos", "entitlements", "roles")
        ),
        _ADDRESSES,
    ),
    GROUP_SCHEMA: _schema(
        GROUP_SCHEMA,
        "Group",
        "A group whose members share a key",
        _attribute("displayName", required=True, uniqueness="server"),
        _EXTERNAL_ID,
        _attribute(
            "members",
            "complex",
            multiValued=True,
            sub=[
                _attribute("value", mutability="immutable", caseExact=True),
                _attribute("display", mutability="immutable"),
            ],
        ),
    ),
    ENTERPRISE_SCHEMA: _schema(
        ENTERPRISE_SCHEMA,
        "EnterpriseUser",
        "A person's place in the organisation; kept and returned, without further effect",
        *(
            _attribute(name)
            for name in (
                "employeeNumber",
                "costCenter",
                "organization",
                "division",
                "department",
            )
        ),
        _attribute("manager", "complex", sub=[_attribute("value"), _attribute("displayName")]),
    ),
}
