"""Discovery: what is served is true."""

from collections.abc import Iterator
from typing import Any

import pytest
from scim2_models import ResourceType, Schema, ServiceProviderConfig

from scim_gateway.attributes import (
    ENTERPRISE_SCHEMA,
    GROUP_SCHEMA,
    PROVISIONING_GROUP_SCHEMA,
    PROVISIONING_USER_SCHEMA,
    USER_SCHEMA,
)
from tests.support.scim_client import ScimClient

_EXTENSIONS = {
    "User": {ENTERPRISE_SCHEMA, PROVISIONING_USER_SCHEMA},
    "Group": {PROVISIONING_GROUP_SCHEMA},
}


def test_what_the_server_can_do(scim: ScimClient) -> None:
    """PATCH, filters, sorting, ETags, both ways of paging; neither bulk nor passwords."""
    config = scim.send("GET", "/ServiceProviderConfig").json
    supported = {name: one["supported"] for name, one in config.items() if "supported" in one}
    assert supported == {
        "patch": True,
        "bulk": False,
        "filter": True,
        "changePassword": False,
        "sort": True,
        "etag": True,
    }
    assert config["filter"]["maxResults"] == config["pagination"]["maxPageSize"] == 1000
    assert config["pagination"]["cursor"] is config["pagination"]["index"] is True
    assert config["pagination"]["cursorTimeout"] == 3600
    assert config["meta"]["location"].endswith("/scim/v2/ServiceProviderConfig")


@pytest.mark.parametrize("path", ["/ResourceTypes", "/Schemas"])
def test_lists_hold_what_their_locations_serve(scim: ScimClient, path: str) -> None:
    """Each resource is found at its own address; unknown ones are 404; nothing is filtered."""
    listed = scim.send("GET", path).json
    assert listed["totalResults"] == len(listed["Resources"]) > 1
    for resource in listed["Resources"]:
        assert scim.send("GET", f"{path}/{resource['id']}").json == resource
        assert resource["meta"]["location"].endswith(f"/scim/v2{path}/{resource['id']}")
    assert scim.send("GET", f"{path}/nothing").status_code == 404
    assert scim.send("GET", path, filter='id eq "x"').status_code == 403


def test_documents_are_what_the_library_reads(scim: ScimClient) -> None:
    """Nothing in them is beyond an independent implementation's models, and nothing is null."""
    for path, model in (
        ("/Schemas", Schema),
        ("/ResourceTypes", ResourceType),
        ("/ServiceProviderConfig", ServiceProviderConfig),
    ):
        answer = scim.send("GET", path)
        assert "null" not in answer.text
        for document in answer.json.get("Resources", [answer.json]):
            assert model.model_validate(document).model_dump(exclude_unset=True) == document


@pytest.mark.parametrize("name", ["User", "Group"])
def test_resource_types_name_every_extension(scim: ScimClient, name: str) -> None:
    """Each of which is served as a schema, like the schema of the type itself."""
    served = {one["id"] for one in scim.send("GET", "/Schemas").json["Resources"]}
    document = scim.send("GET", f"/ResourceTypes/{name}").json
    assert document["endpoint"] == f"/{name}s"
    assert {one["schema"] for one in document["schemaExtensions"]} == _EXTENSIONS[name]
    assert not any(one["required"] for one in document["schemaExtensions"])
    assert _EXTENSIONS[name] | {document["schema"]} <= served


@pytest.mark.parametrize(
    ("schema", "attribute", "expected"),
    [
        (USER_SCHEMA, "userName", {"required": True, "uniqueness": "server", "caseExact": False}),
        (USER_SCHEMA, "active", {"required": True, "type": "boolean"}),
        (USER_SCHEMA, "groups", {"mutability": "readOnly", "multiValued": True}),
        (USER_SCHEMA, "groups.$ref", {"type": "reference", "referenceTypes": ["Group"]}),
        (USER_SCHEMA, "emails.type", {"canonicalValues": ["work", "home", "other"]}),
        (USER_SCHEMA, "photos.value", {"type": "reference", "caseExact": True}),
        (USER_SCHEMA, "x509Certificates.value", {"type": "binary"}),
        (GROUP_SCHEMA, "displayName", {"required": True, "uniqueness": "server"}),
        (GROUP_SCHEMA, "members.value", {"mutability": "immutable", "caseExact": True}),
        (GROUP_SCHEMA, "members.$ref", {"mutability": "immutable", "referenceTypes": ["User"]}),
        (ENTERPRISE_SCHEMA, "manager.value", {"required": False, "caseExact": True}),
    ],
)
def test_attributes_have_their_characteristics(
    scim: ScimClient, schema: str, attribute: str, expected: dict[str, Any]
) -> None:
    """As RFC 7643 §8.7.1 has them, where this server does not differ."""
    attributes = dict(_attributes(scim.send("GET", f"/Schemas/{schema}").json["attributes"]))
    shown = attributes[attribute]
    assert {name: shown.get(name) for name in expected} == expected
    assert shown["returned"] == "default"


def test_no_schema_has_what_is_not_kept_or_is_common_to_all(scim: ScimClient) -> None:
    """A password is thrown away; id, externalId and meta are in no schema (RFC 7643 §3.1)."""
    for document in scim.send("GET", "/Schemas").json["Resources"]:
        names = {one["name"] for one in document["attributes"]}
        assert names.isdisjoint({"password", "id", "externalId", "meta", "schemas"})


@pytest.mark.parametrize("schema", [PROVISIONING_GROUP_SCHEMA, PROVISIONING_USER_SCHEMA])
def test_our_own_extensions_are_read_only(scim: ScimClient, schema: str) -> None:
    """Everything in them is told, never taken."""
    document = scim.send("GET", f"/Schemas/{schema.lower()}").json
    found = [one["mutability"] for _, one in _attributes(document["attributes"])]
    assert found
    assert set(found) == {"readOnly"}


def test_our_own_extensions_hold_what_their_schemas_say(scim: ScimClient) -> None:
    """Every name that is served is described, the detail on request included."""
    ada = scim.create_user("ada@example.com")
    group = scim.create_group("Finance", [ada, "somebody-else"])
    for path, schema, detail in (
        (f"/Groups/{group}", PROVISIONING_GROUP_SCHEMA, "members"),
        (f"/Users/{ada}", PROVISIONING_USER_SCHEMA, "memberships"),
    ):
        described = dict(_attributes(scim.send("GET", f"/Schemas/{schema}").json["attributes"]))
        usual = scim.send("GET", path, attributes=schema).json[schema]
        full = scim.send("GET", path, attributes=f"{schema}:{detail}").json[schema]
        assert detail not in usual
        assert described[detail]["returned"] == "request"
        shown = usual | {detail: full[detail]}
        assert set(_names(shown)) <= described.keys()


def _names(value: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, inner in value.items():
        yield prefix + name
        for one in inner if isinstance(inner, list) else [inner]:
            if isinstance(one, dict):
                yield from _names(one, f"{prefix}{name}.")


def _attributes(
    attributes: list[dict[str, Any]], prefix: str = ""
) -> Iterator[tuple[str, dict[str, Any]]]:
    for one in attributes:
        yield prefix + one["name"], one
        yield from _attributes(one.get("subAttributes", []), f"{prefix}{one['name']}.")
