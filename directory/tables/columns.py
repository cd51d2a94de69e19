"""What every table's columns are made of."""

from collections.abc import Sequence

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    Uuid,
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(referred_table_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)

_NOW = text("now()")
_ZERO = text("0")
_FALSE = text("false")


def identifier(name: str, *, nullable: bool = False) -> "Column[object]":
    return Column(name, Uuid, nullable=nullable)


def time(name: str, *, nullable: bool = True, now: bool = False) -> "Column[object]":
    default = _NOW if now else None
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=default)


def words(name: str, *, nullable: bool = False) -> "Column[object]":
    return Column(name, Text, nullable=nullable)


def octets(name: str, *, nullable: bool = False) -> "Column[object]":
    return Column(name, LargeBinary, nullable=nullable)


def count(name: str, *, wide: bool = True) -> "Column[object]":
    kind = BigInteger if wide else Integer
    return Column(name, kind, nullable=False, server_default=_ZERO)


def flag(name: str, default: bool = False) -> "Column[object]":
    shown = _FALSE if not default else text("true")
    return Column(name, Boolean, nullable=False, server_default=shown)


def refers(columns: Sequence[str], table: str, to: Sequence[str]) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(columns, [f"{table}.{column}" for column in to])
