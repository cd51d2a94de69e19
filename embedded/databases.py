"""PostgreSQL and Redis: our own, unless a URL names one that exists."""

import psycopg
import redis

from embedded.child_process import ChildSpec
from embedded.components import DataFolder
from embedded.errors import EmbeddedError
from embedded.ports import PortBook
from embedded.postgres_server import PostgresServer
from embedded.settings import EmbeddedSettings
from embedded.valkey_server import ValkeyServer

_CONNECT_SECONDS = 5


class Databases:
    """The two servers that hold the vendor's state. Start `children`, then `settle`."""

    def __init__(self, data: DataFolder, book: PortBook, settings: EmbeddedSettings) -> None:
        self._postgres = self._valkey = None
        self.children: list[ChildSpec] = []
        if settings.database_url is None:
            self._postgres = PostgresServer(data.postgres, book.port_for("postgres"))
            self._postgres.prepare()
            self.children.append(self._postgres.child())
            self.database_url = self._postgres.url()
        else:
            self.database_url = settings.database_url
        if settings.redis_url is None:
            self._valkey = ValkeyServer(data.redis, book.port_for("redis"))
            self._valkey.prepare()
            self.children.append(self._valkey.child())
            self.redis_url = self._valkey.url()
        else:
            self.redis_url = settings.redis_url

    def settle(self) -> None:
        """Make our own database if it is missing, and see that both servers let us in.

        Raises EmbeddedError, without the URL's password, if one does not.
        """
        if self._postgres is not None:
            self._postgres.ensure_database()
        try:
            psycopg.connect(self.database_url, connect_timeout=_CONNECT_SECONDS).close()
        except psycopg.Error as error:
            raise EmbeddedError(
                f"PostgreSQL cannot be reached: {str(error).strip()}\nCheck --database-url."
            ) from None
        client = redis.Redis.from_url(
            self.redis_url, socket_timeout=_CONNECT_SECONDS, socket_connect_timeout=_CONNECT_SECONDS
        )
        try:
            client.ping()
        except redis.RedisError as error:
            raise EmbeddedError(f"Redis cannot be reached: {error}\nCheck --redis-url.") from None
        finally:
            client.close()
