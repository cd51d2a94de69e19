"""Python code generated from proto/ by `make proto`: messages, stubs and their types."""
