"""Property tests without a time limit per example: the machine's load is no property."""

from hypothesis import settings

settings.register_profile("unit", deadline=None)
settings.load_profile("unit")
