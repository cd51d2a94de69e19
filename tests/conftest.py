"""Fixtures of the whole suite: real servers, started once per test process."""

pytest_plugins = [
    "tests.support.postgres",
    "tests.support.valkey",
    "tests.support.identity_provider",
]
