"""The protocol: formats, ledger entries and proofs, and their verification. No I/O."""
