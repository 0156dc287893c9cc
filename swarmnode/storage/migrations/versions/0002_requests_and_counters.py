"""One row a request, and counters that survive restarts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "request_summaries",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("finished_at", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.String(256), nullable=False),
        sa.Column("route", sa.String(256), nullable=False),
        sa.Column("model", sa.String(256), nullable=False),
        sa.Column("outcome", sa.String(256), nullable=False),
        sa.Column("error_type", sa.String(256)),
        sa.Column("queue_ms", sa.Double()),
        sa.Column("ttft_ms", sa.Double()),
        sa.Column("decode_ms", sa.Double()),
        sa.Column("total_ms", sa.Double()),
        sa.Column("prompt_tokens", sa.Integer()),
        sa.Column("tokens", sa.Integer()),
        sa.Column("tok_per_sec", sa.Double()),
    )
    op.create_index("ix_request_summaries_finished_at", "request_summaries", ["finished_at"])
    op.create_table(
        "usage_counters",
        sa.Column("name", sa.String(256), primary_key=True),
        sa.Column("value", sa.BigInteger(), nullable=False),
    )
