"""`groupseal gateway` with a fault point. Run as `python -m tests.faults.run_gateway`.

The gateway has no hook of its own: its wiring's engine and `wake`, and the application's
`after_request`, are where a request can be stopped between what is durable and what is said.
"""

from dataclasses import replace
from uuid import UUID

from flask import Flask, Response
from sqlalchemy import Connection, event

from directory.settings import load
from scim_gateway.app import create_app
from scim_gateway.server import GatewayServer
from scim_gateway.settings import GatewaySettings
from scim_gateway.wiring import wire
from tests.faults.fault_point import FaultPoint

# Before the transaction's commit, after it, after the hint to a worker, before the answer.
STEPS = ("committing", "committed", "woken", "answering")


class FaultyGateway(GatewayServer):
    """gunicorn's arbiter dies with its worker."""

    def load(self) -> Flask:
        wiring = wire(self._settings)
        reached = FaultPoint("gateway", with_parent=True)

        def committing(_: Connection) -> None:
            reached("committing")

        def wake(tenant_id: UUID) -> None:
            reached("committed")
            wiring.wake(tenant_id)
            reached("woken")

        def answering(response: Response) -> Response:
            reached("answering")
            return response

        event.listen(wiring.engine, "commit", committing)
        app = create_app(replace(wiring, wake=wake))
        app.after_request(answering)
        return app


if __name__ == "__main__":
    FaultyGateway(load(GatewaySettings)).run()
