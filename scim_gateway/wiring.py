"""The composition root of the gateway: everything a process needs, made once."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from flask import current_app
from sqlalchemy import Engine

from directory.database import make_engine
from directory.wake_up import make_redis
from scim_gateway.rate_limits import TokenRate
from scim_gateway.settings import GatewaySettings
from scim_gateway.waking import Waker

_KEY = "groupseal"
# Okta closes after 60 s: nobody waits any more for what takes longer, and it would hold a thread.
_STATEMENT_SECONDS = 50


@dataclass(frozen=True, slots=True)
class Wiring:
    """What requests use. `wake` is called after a commit that leaves a group dirty."""

    settings: GatewaySettings
    engine: Engine
    wake: Callable[[UUID], None]
    closing: Callable[[], None]
    # None where no token is limited.
    token_rate: TokenRate | None = None

    def close(self) -> None:
        """Sends the hints that are left and closes the connections."""
        self.closing()
        self.engine.dispose()


def wire(settings: GatewaySettings) -> Wiring:
    """Makes engine and Redis client; neither connects before it is used."""
    engine = make_engine(
        settings.database_url,
        pool_size=settings.gateway_threads,
        application="groupseal-gateway",
        pre_ping=False,  # every request begins with UnitOfWork.first
        statement_seconds=_STATEMENT_SECONDS,
    )
    redis = make_redis(settings.redis_url)
    waker = Waker(redis)

    def closing() -> None:
        waker.close()
        redis.close()

    token_rate = None
    if settings.gateway_rate_per_second:
        token_rate = TokenRate(
            redis,
            per_second=settings.gateway_rate_per_second,
            burst=settings.gateway_rate_burst,
        )
    return Wiring(settings, engine, waker, closing, token_rate)


def wiring() -> Wiring:
    """The wiring of the application that answers the present request."""
    value = current_app.extensions[_KEY]
    if not isinstance(value, Wiring):
        raise TypeError("the application was made without wiring")
    return value


def attach(extensions: dict[str, object], value: Wiring) -> None:
    """Gives an application its wiring."""
    extensions[_KEY] = value
