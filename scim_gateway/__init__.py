"""The vendor's HTTP edge: the SCIM API and the member API."""
