"""What the search for clones has compared: each lead of a run once, with the evidence.

Revision ID: 0002
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE clone_search (
          run_id        text NOT NULL REFERENCES run ON DELETE CASCADE,
          lead_h        smallint NOT NULL,
          result        jsonb NOT NULL,
          policy_digest text NOT NULL,
          compared_at   timestamptz NOT NULL DEFAULT now(),
          PRIMARY KEY (run_id, lead_h)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE clone_search")
