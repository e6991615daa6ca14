"""Databases for tests: a copy of the migrated template for each test that another test had not yet.

A copy costs Postgres two checkpoints and ten megabytes. What a test has left is therefore swept out, and the next one
has that copy; one whose tables, functions or settings are no longer those of the template is dropped.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.types.json import Json
from sqlalchemy import make_url

from lab.lab import Lab
from tests.postgres import new_copy

_SESSIONS = """
    SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
#: Changes whenever a table, column, index, function or trigger is made, altered or dropped.
_SHAPE = """
    SELECT array(SELECT sum(hashtext(oid || ' ' || xmin)) FROM pg_class
        UNION ALL SELECT sum(hashtext(attrelid || ' ' || attnum || ' ' || xmin)) FROM pg_attribute
        UNION ALL SELECT sum(hashtext(oid || ' ' || xmin)) FROM pg_attrdef
        UNION ALL SELECT sum(hashtext(oid || ' ' || xmin)) FROM pg_constraint
        UNION ALL SELECT sum(hashtext(oid || ' ' || xmin)) FROM pg_namespace
        UNION ALL SELECT sum(hashtext(oid || ' ' || xmin)) FROM pg_proc
        UNION ALL SELECT sum(hashtext(oid || ' ' || xmin)) FROM pg_trigger
        UNION ALL SELECT count(*) FROM pg_db_role_setting)
"""
_TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
_BEGIN_AGAIN = "SELECT setval(seqrelid, seqstart, false) FROM pg_sequence"


@dataclass
class _Copy:
    """A database as it was when nobody had used it."""

    name: str
    url: str
    shape: Any
    tables: list[str]
    rows: dict[str, Any]


class Databases:
    """Copies of the template, each a test's own while it runs."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._clean: list[_Copy] = []

    @contextmanager
    def one(self) -> Iterator[str]:
        """The address of a database with all tables and nothing in them but the first account."""
        copy = self._clean.pop() if self._clean else self._made()
        swept = False
        try:
            yield copy.url
            swept = _sweep(copy)
        finally:
            if swept:
                self._clean.append(copy)
            else:
                self._lab.drop_database(copy.name)

    def _made(self) -> _Copy:
        name, url = new_copy(self._lab)
        with _connect(url) as rows:
            tables = [one for (one,) in rows.execute(_TABLES)]
            whole = {
                one: rows.execute(_of("SELECT json_agg({0}) FROM {0}", one)).fetchone() for one in tables
            }
            shape = rows.execute(_SHAPE).fetchone()
        return _Copy(name, url, shape, tables, {one: row[0] for one, row in whole.items() if row and row[0]})


def _sweep(copy: _Copy) -> bool:
    """Puts the rows back as they were; False if there is more than rows to be put back."""
    with _connect(copy.url) as rows:
        rows.execute(_SESSIONS)
        if rows.execute(_SHAPE).fetchone() != copy.shape:
            return False
        # Neither foreign keys nor the triggers of ours have a say in this.
        rows.execute("SET session_replication_role = replica")
        deleted = rows.execute(sql.SQL(";").join(_of("DELETE FROM {0}", table) for table in copy.tables))
        used = [table for table, _ in zip(copy.tables, deleted.results(), strict=True) if deleted.rowcount]
        # Rows of the same moment are read in the order in which they were written, as long as there are no gaps to fill.
        rows.execute(sql.SQL("VACUUM {}").format(sql.SQL(",").join(map(sql.Identifier, used))))
        for table, kept in copy.rows.items():
            again = "INSERT INTO {0} SELECT * FROM json_populate_recordset(NULL::{0}, %s)"
            rows.execute(_of(again, table), [Json(kept)])
        rows.execute(_BEGIN_AGAIN)
    return True


def _connect(url: str) -> psycopg.Connection[Any]:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(plain, autocommit=True)


def _of(statement: LiteralString, table: str) -> sql.Composed:
    return sql.SQL(statement).format(sql.Identifier(table))
