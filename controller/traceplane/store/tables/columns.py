"""What every table repeats: the two schemas, constraint names, ids, times, the organisation.

Names of constraints follow one rule, so that an error message and a migration mean the same thing by them.
"""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import (
    DDL,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    MetaData,
    Text,
    Uuid,
    event,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import UserDefinedType

_NAMES = {
    "pk": "%(table_name)s_pkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
}

state = MetaData(naming_convention=_NAMES)
"""Tables of the state database."""

data = MetaData(naming_convention=_NAMES)
"""Tables of the data database that Trace itself needs; hot tables are made from dataset versions."""


def identity() -> Column[Any]:
    """`id`: a UUIDv7, by default made by the database."""
    return Column("id", Uuid, primary_key=True, server_default=func.trace_uuid7())


def org() -> Column[Any]:
    """`org_id`: the owner of the row; in every table of the user's world."""
    return Column("org_id", Uuid, ForeignKey("orgs.id"), nullable=False)


def text(name: str, *, null: bool = False, **options: Any) -> Column[Any]:
    """A text column."""
    return Column(name, Text, nullable=null, **options)


def document(name: str, *, null: bool = False, **options: Any) -> Column[Any]:
    """A `jsonb` column."""
    return Column(name, JSONB, nullable=null, **options)


def moment(name: str, *, null: bool = True) -> Column[Any]:
    """A `timestamptz` that a statement sets; Postgres's clock decides, never a worker's."""
    return Column(name, DateTime(timezone=True), nullable=null)


def stamped(name: str) -> Column[Any]:
    """A `timestamptz` that defaults to the transaction's time."""
    return Column(name, DateTime(timezone=True), nullable=False, server_default=func.now())


def big(name: str, *, null: bool = False, **options: Any) -> Column[Any]:
    """A `bigint` column: block numbers, counts, bytes."""
    return Column(name, BigInteger, nullable=null, **options)


class XID8(UserDefinedType[Any]):
    """A transaction's id that never repeats (https://www.postgresql.org/docs/current/functions-info.html)."""

    cache_ok = True

    def get_col_spec(self, **_options: Any) -> str:
        """The type's name in DDL."""
        return "xid8"


def one_of(column: str, *values: str) -> CheckConstraint:
    """The column holds one of these texts (or null, where it may)."""
    return CheckConstraint(f"{column} IN ({', '.join(repr(str(value)) for value in values)})", name=column)


def around(schema: MetaData, when: Literal["before_create", "after_create"], *statements: str) -> None:
    """Run `statements`, which tables alone cannot say, before or after the tables of `schema` are created."""
    ddl: Any = DDL
    for statement in statements:
        event.listen(schema, when, ddl(statement.replace("%", "%%")))
