"""Probes: /healthz says that the process answers, /readyz that its database is what it needs."""

from flask import Flask, Response
from sqlalchemy.exc import SQLAlchemyError

from directory.migrating import current_revision, newest_revision
from directory.unit_of_work import UnitOfWork
from scim_gateway.wiring import wiring


def register(app: Flask) -> None:
    """Adds the routes, outside any authentication."""
    app.add_url_rule("/healthz", view_func=healthz)
    app.add_url_rule("/readyz", view_func=readyz)


def healthz() -> Response:
    """200 as long as the process answers."""
    return _text(200, "ok")


def readyz() -> Response:
    """503, with the reason, while requests could not be answered."""
    try:
        with UnitOfWork(wiring().engine) as uow:
            revision = uow.first(current_revision)
    except SQLAlchemyError:
        return _text(503, "the database is not reachable")
    if revision != newest_revision():
        return _text(503, "the database has another form: run groupseal migrate")
    return _text(200, "ok")


def _text(status: int, text: str) -> Response:
    return Response(text + "\n", status, content_type="text/plain; charset=utf-8")
