"""Evidence in trust mode `oidc`: ID tokens of the customer's own identity provider."""
