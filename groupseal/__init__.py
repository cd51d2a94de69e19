"""The protocol: wire formats, ledger entries and proofs, and their verification. No input or output."""
