"""The one place that scopes statements by tenant."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, CursorResult, Row, Select, Table, TextClause, select, text


def tenant_sql(statement: str) -> TextClause:
    """A named statement. Raises ValueError unless it is bound to `:tenant_id`."""
    clause = text(statement)
    if "tenant_id" not in clause.compile().params:
        raise ValueError("a statement on a tenant's rows must use :tenant_id")
    return clause


class TenantScope:
    """One tenant's rows, over one connection. Everything a request does goes through it."""

    def __init__(self, connection: Connection, tenant_id: UUID) -> None:
        self.connection = connection
        self.tenant_id = tenant_id

    def execute(self, statement: TextClause, **parameters: object) -> CursorResult[Any]:
        """Runs a statement made by `tenant_sql` for this tenant."""
        return self.connection.execute(statement, {**parameters, "tenant_id": self.tenant_id})

    def one(self, statement: TextClause, **parameters: object) -> Row[Any] | None:
        """The single row, or None."""
        return self.execute(statement, **parameters).one_or_none()

    def all(self, statement: TextClause, **parameters: object) -> Sequence[Row[Any]]:
        """Every row."""
        return self.execute(statement, **parameters).all()

    def values(self, statement: TextClause, **parameters: object) -> list[Any]:
        """The first column of every row."""
        return list(self.execute(statement, **parameters).scalars())

    def select(self, table: Table, *columns: Any) -> Select[Any]:
        """A query on the tenant's rows of a table, to be narrowed further."""
        return select(*(columns or (table,))).where(table.c.tenant_id == self.tenant_id)
