"""Runs, forecasts, scores.

Revision ID: 0001
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_UP = [
    """
    CREATE TABLE run (
      run_id          text PRIMARY KEY,
      netuid          integer NOT NULL,
      init_time       timestamptz NOT NULL,
      spec            jsonb NOT NULL,
      spec_digest     text NOT NULL,
      policy_digest   text NOT NULL,
      sources         jsonb NOT NULL,
      world_offset    interval NOT NULL,
      opened_at       timestamptz NOT NULL,
      commit_deadline timestamptz NOT NULL,
      reveal_deadline timestamptz NOT NULL,
      state           text NOT NULL CHECK (state IN ('collecting', 'scoring', 'scored', 'void')),
      void_reason     text,
      polled_at       timestamptz,
      finished_at     timestamptz,
      CHECK ((state = 'void') = (void_reason IS NOT NULL))
    )
    """,
    "COMMENT ON COLUMN run.polled_at IS 'when the validator last asked the miners for commitments'",
    """
    CREATE TABLE run_miner (
      run_id           text NOT NULL REFERENCES run ON DELETE CASCADE,
      hotkey           text NOT NULL,
      uid              integer NOT NULL,
      endpoint         text,
      registered_block bigint NOT NULL,
      state            text NOT NULL CHECK (state IN
                       ('listed', 'acknowledged', 'committed', 'frozen', 'verified', 'scored', 'failed')),
      commitment       bytea CHECK (length(commitment) = 32),
      committed_at     timestamptz,
      reason_code      text,
      reason           text,
      fault            text CHECK (fault IN ('miner', 'source', 'validator')),
      updated_at       timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (run_id, hotkey),
      CHECK (state <> 'failed' OR (reason_code IS NOT NULL AND fault IS NOT NULL))
    )
    """,
    """
    CREATE TABLE forecast (
      run_id          text NOT NULL,
      hotkey          text NOT NULL,
      manifest        bytea NOT NULL,
      manifest_digest bytea NOT NULL CHECK (length(manifest_digest) = 32),
      nonce           bytea NOT NULL CHECK (length(nonce) = 32),
      frozen_at       timestamptz NOT NULL,
      verified_at     timestamptz,
      store_path      text NOT NULL,
      PRIMARY KEY (run_id, hotkey),
      FOREIGN KEY (run_id, hotkey) REFERENCES run_miner ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE field_set (
      id     integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      digest text NOT NULL UNIQUE,
      variable text[] NOT NULL,
      level_hpa integer[] NOT NULL CHECK (0 <= ALL (level_hpa) AND array_position(level_hpa, NULL) IS NULL),
      CHECK (cardinality(variable) = cardinality(level_hpa))
    )
    """,
    "COMMENT ON COLUMN field_set.level_hpa IS '0: a surface field; score_component shows it as null'",
    """
    CREATE TABLE gate_score (
      run_id        text NOT NULL,
      hotkey        text NOT NULL,
      result        jsonb NOT NULL,
      score         double precision,
      passed        boolean,
      policy_digest text NOT NULL,
      truth         text NOT NULL,
      climatology   text,
      reference     text,
      scored_at     timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (run_id, hotkey),
      FOREIGN KEY (run_id, hotkey) REFERENCES run_miner ON DELETE CASCADE
    )
    """,
    "COMMENT ON COLUMN gate_score.passed IS 'null: not applicable, there is no reference or climatology'",
    """
    CREATE TABLE score (
      run_id        text NOT NULL,
      hotkey        text NOT NULL,
      lead_h        smallint NOT NULL,
      field_set_id  integer NOT NULL REFERENCES field_set,
      bias          real[] NOT NULL,
      mae           real[] NOT NULL,
      rmse          real[] NOT NULL,
      acc           real[] NOT NULL,
      skill_clim    real[] NOT NULL,
      skill_ref     real[] NOT NULL,
      component     real[] NOT NULL,
      lead_score    double precision NOT NULL,
      policy_digest text NOT NULL,
      truth         text NOT NULL,
      climatology   text,
      reference     text,
      scored_at     timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (run_id, hotkey, lead_h),
      FOREIGN KEY (run_id, hotkey) REFERENCES run_miner ON DELETE CASCADE,
      CONSTRAINT score_same_length CHECK (cardinality(component) = ALL (ARRAY[cardinality(bias), cardinality(mae),
        cardinality(rmse), cardinality(acc), cardinality(skill_clim), cardinality(skill_ref)]))
    )
    """,
    "COMMENT ON COLUMN score.truth IS 'digest of the content that it was scored against; so are the next two'",
    """
    CREATE VIEW score_component AS
    SELECT s.run_id, s.hotkey, s.lead_h, f.variable, nullif(f.level_hpa, 0) AS level_hpa,
           f.bias, f.mae, f.rmse, f.acc, f.skill_clim, f.skill_ref, f.component, f.position
    FROM score s JOIN field_set fs ON fs.id = s.field_set_id
    CROSS JOIN LATERAL unnest(fs.variable, fs.level_hpa, s.bias, s.mae, s.rmse, s.acc, s.skill_clim,
                              s.skill_ref, s.component) WITH ORDINALITY
         AS f(variable, level_hpa, bias, mae, rmse, acc, skill_clim, skill_ref, component, position)
    """,
    """
    CREATE TABLE run_score (
      run_id        text NOT NULL,
      hotkey        text NOT NULL,
      score         double precision,
      reason_code   text,
      reason        text,
      policy_digest text NOT NULL,
      combined_at   timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (run_id, hotkey),
      FOREIGN KEY (run_id, hotkey) REFERENCES run_miner ON DELETE CASCADE,
      CHECK (score <> 0 OR reason_code IS NOT NULL)
    )
    """,
]

_DOWN = [
    "DROP TABLE run_score",
    "DROP VIEW score_component",
    "DROP TABLE score, gate_score, field_set, forecast, run_miner, run",
]


def upgrade() -> None:
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in _DOWN:
        op.execute(statement)
