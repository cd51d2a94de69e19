"""Which version of the service this is."""

from importlib.metadata import PackageNotFoundError, version


def service_version() -> str:
    """Version of the installed distribution."""
    try:
        return version("groupseal")
    except PackageNotFoundError:
        return "0.0.0+unpackaged"
