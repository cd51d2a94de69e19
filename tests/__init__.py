"""A package of its own: a dependency of the tests installs another one of this name."""
