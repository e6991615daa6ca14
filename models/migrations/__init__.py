"""Alembic migrations. A revision says in its docstring whether it is applied before or after a deployment."""
