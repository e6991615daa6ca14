"""The declarative base and the column types of all tables. Postgres only; every time is aware and UTC."""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import BigInteger, Connection, DateTime, Enum, MetaData, Row, Select, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Session

Json = dict[str, Any]
AnyRow = Row[*tuple[Any, ...]]
AnySelect = Select[*tuple[Any, ...]]
#: Whom a statement is given to.
Sql = Session | Connection


class Base(DeclarativeBase):
    """What every table shares: types by annotation, and constraint names that can be foretold."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: DateTime(timezone=True),
        Json: JSONB(none_as_null=True),
        list[str]: ARRAY(Text),
        list[UUID]: ARRAY(Uuid),
        str: Text,
        int: BigInteger,
        UUID: Uuid,
    }


def words(states: type[StrEnum], name: str) -> Enum:
    """A text column that holds one of the words of an enum, with a CHECK that says which."""
    return Enum(
        states,
        native_enum=False,
        create_constraint=True,
        name=name,
        length=16,
        values_callable=lambda members: [member.value for member in members],
    )


def quoted(states: frozenset[Any] | set[Any]) -> str:
    """States as an SQL list, sorted, for the conditions of partial indexes."""
    return ", ".join(f"'{state}'" for state in sorted(states))
