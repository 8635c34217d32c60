"""Jobs and weights: what all tasks share.

Revision ID: 0001
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_UP = [
    """
    CREATE TABLE job (
      id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      kind         text NOT NULL,
      key          text NOT NULL CONSTRAINT job_key_unique UNIQUE,
      payload      jsonb NOT NULL DEFAULT '{}',
      priority     smallint NOT NULL DEFAULT 0,
      run_at       timestamptz NOT NULL DEFAULT now(),
      state        text NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'leased', 'done', 'dead')),
      attempt      integer NOT NULL DEFAULT 0,
      max_attempts integer NOT NULL DEFAULT 8 CHECK (max_attempts > 0),
      fence        bigint NOT NULL DEFAULT 0,
      lease_until  timestamptz,
      leased_by    text,
      last_error   text,
      created_at   timestamptz NOT NULL DEFAULT now(),
      finished_at  timestamptz,
      CHECK ((state = 'leased') = (lease_until IS NOT NULL AND leased_by IS NOT NULL))
    ) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200)
    """,
    "CREATE INDEX job_ready ON job (priority DESC, run_at, id) WHERE state = 'ready'",
    "CREATE INDEX job_leased ON job (lease_until) WHERE state = 'leased'",
    "CREATE INDEX job_dead ON job (finished_at) WHERE state = 'dead'",
    """
    CREATE TABLE weight_set (
      id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      netuid       integer NOT NULL,
      emission     jsonb NOT NULL,
      submitted    jsonb NOT NULL,
      submitted_at timestamptz NOT NULL,
      read_back_at timestamptz,
      alarm        text
    )
    """,
    "COMMENT ON COLUMN weight_set.emission IS 'hotkey -> weight, summing to 1'",
    "COMMENT ON COLUMN weight_set.submitted IS 'uid -> 16-bit weight, as sent to the chain'",
    """
    CREATE TABLE weight_set_part (
      weight_set_id bigint NOT NULL REFERENCES weight_set ON DELETE CASCADE,
      task          text NOT NULL,
      run_id        text NOT NULL,
      share         double precision NOT NULL CHECK (share >= 0 AND share <= 1),
      emission      jsonb NOT NULL,
      PRIMARY KEY (weight_set_id, task)
    )
    """,
    "CREATE INDEX weight_set_part_run ON weight_set_part (run_id, weight_set_id)",
    "COMMENT ON TABLE weight_set_part IS 'from the scores of which run of which task the weights were made'",
    "COMMENT ON COLUMN weight_set_part.emission IS 'hotkey -> weight within the task, summing to 1'",
]

_DOWN = ["DROP TABLE weight_set_part, weight_set, job"]


def upgrade() -> None:
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in _DOWN:
        op.execute(statement)
