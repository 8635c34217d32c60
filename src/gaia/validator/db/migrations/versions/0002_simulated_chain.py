"""The simulated chain's own schema. Nothing outside gaia.chain.simulated reads it.

Revision ID: 0002
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_UP = [
    "CREATE SCHEMA simulated_chain",
    """
    CREATE TABLE simulated_chain.subnet (
      netuid                    integer PRIMARY KEY,
      genesis                   timestamptz NOT NULL DEFAULT now(),
      block_time_s              double precision NOT NULL CHECK (block_time_s > 0),
      tempo_blocks              integer NOT NULL,
      weights_rate_limit_blocks integer NOT NULL,
      min_allowed_weights       integer NOT NULL,
      max_weights_limit         double precision NOT NULL,
      weights_version           bigint NOT NULL,
      min_stake_tao             double precision NOT NULL
    )
    """,
    """
    CREATE TABLE simulated_chain.neuron (
      netuid            integer NOT NULL REFERENCES simulated_chain.subnet ON DELETE CASCADE,
      uid               integer NOT NULL CHECK (uid >= 0),
      hotkey            text NOT NULL,
      stake_tao         double precision NOT NULL DEFAULT 0,
      validator_permit  boolean NOT NULL DEFAULT false,
      endpoint          text,
      registered_block  bigint NOT NULL,
      last_update_block bigint NOT NULL DEFAULT 0,
      weights           jsonb,
      PRIMARY KEY (netuid, uid),
      UNIQUE (netuid, hotkey)
    )
    """,
]


def upgrade() -> None:
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP SCHEMA simulated_chain CASCADE")
