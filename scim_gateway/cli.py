"""The gateway's command."""

import logging

import click

from directory.settings import SettingsError, load
from scim_gateway.settings import GatewaySettings


@click.command()
def gateway() -> None:
    """Answer SCIM clients and members until a signal.

    Set GROUPSEAL_DATABASE_URL, GROUPSEAL_REDIS_URL and GROUPSEAL_GATEWAY_LISTEN (HOST:PORT).
    """
    try:
        settings = load(GatewaySettings)
    except SettingsError as error:
        raise click.UsageError(str(error)) from None
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    from scim_gateway.server import GatewayServer

    GatewayServer(settings).run()
