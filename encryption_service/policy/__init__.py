"""The customer's policy: what may be added, to which groups, by whose approval, and how fast."""
