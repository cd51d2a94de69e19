"""The member API: what a member's client may ask for, and nothing that opens anything."""
