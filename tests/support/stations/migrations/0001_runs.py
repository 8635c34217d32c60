"""Runs, and what each miner answered and scored.

Revision ID: 0001
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE stations_run (
          run_id    text PRIMARY KEY,
          netuid    integer NOT NULL,
          init_time timestamptz NOT NULL,
          opened_at timestamptz NOT NULL,
          deadline  timestamptz NOT NULL,
          scored_at timestamptz
        )
        """
    )
    op.execute(
        """
        CREATE TABLE stations_miner (
          run_id      text NOT NULL REFERENCES stations_run ON DELETE CASCADE,
          hotkey      text NOT NULL,
          uid         integer NOT NULL,
          endpoint    text,
          celsius     double precision[],
          rmse        double precision,
          score       double precision,
          reason_code text,
          reason      text,
          PRIMARY KEY (run_id, hotkey)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE stations_miner, stations_run")
