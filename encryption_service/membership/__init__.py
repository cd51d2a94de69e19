"""Whether the identity provider itself says that somebody is in a group."""
