"""Connections to the vendor's PostgreSQL."""

from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError

_CONNECT_SECONDS = 5


def sqlalchemy_url(url: str) -> URL:
    """The URL with the driver's name. Raises ValueError unless it is a PostgreSQL URL."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        # The error's text would hold the URL, and with it the password.
        raise ValueError("it must be a URL such as postgresql://user@host/database") from None
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise ValueError("it must be a URL such as postgresql://user@host/database")
    return parsed.set(drivername="postgresql+psycopg")


def make_engine(
    url: str,
    *,
    pool_size: int = 5,
    application: str = "groupseal",
    pre_ping: bool = True,
    statement_seconds: int = 0,
) -> Engine:
    """A pooled engine on a plain `postgresql://` URL; connects when first used.

    READ COMMITTED, times in UTC. A connection that died in the pool is replaced unnoticed, at the
    price of a round trip whenever one is taken; with `pre_ping=False` its first user sees an
    error, and every other connection of that age is replaced. A statement that takes longer than
    `statement_seconds` is ended; 0 is no limit.
    """
    return create_engine(
        sqlalchemy_url(url),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=30,
        pool_pre_ping=pre_ping,
        # The same few connections, with the statements that they have prepared.
        pool_use_lifo=True,
        hide_parameters=True,
        connect_args={
            "connect_timeout": _CONNECT_SECONDS,
            "application_name": application,
            # Requests are of milliseconds: compiling a statement takes twenty.
            "options": "-c timezone=UTC -c jit=off -c idle_in_transaction_session_timeout=60s"
            f" -c statement_timeout={statement_seconds}s",
        },
    )
