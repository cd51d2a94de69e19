"""Discovery: what is served is true."""

import pytest

from tests.support.scim_client import ScimClient


def test_what_the_server_can_do(scim: ScimClient) -> None:
    """PATCH, filters and ETags; neither bulk nor sorting."""
    config = scim.send("GET", "/ServiceProviderConfig").json
    supported = {
        name: config[name]["supported"] for name in ("patch", "filter", "etag", "bulk", "sort")
    }
    assert supported == {
        "patch": True,
        "filter": True,
        "etag": True,
        "bulk": False,
        "sort": False,
    }


@pytest.mark.parametrize("path", ["/ResourceTypes", "/Schemas"])
def test_lists_hold_what_their_locations_serve(scim: ScimClient, path: str) -> None:
    """Each resource is found at its own address; unknown ones are 404."""
    listed = scim.send("GET", path).json
    assert listed["totalResults"] == len(listed["Resources"]) > 1
    for resource in listed["Resources"]:
        assert scim.send("GET", f"{path}/{resource['id']}").json == resource
    assert scim.send("GET", f"{path}/nothing").status_code == 404
    assert scim.send("GET", path, filter='id eq "x"').status_code == 400
