"""An approver's own machine: makes the key and the signatures, and talks to nobody."""
