"""The vendor's background work: reconcile, catch up with the ledger, sweep."""
