"""Trust in peers, peers to find again, and invites given out."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "peer_trust",
        sa.Column("peer", sa.String(256), primary_key=True),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("start", sa.Double(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "known_peers",
        sa.Column("peer", sa.String(256), primary_key=True),
        sa.Column("addresses", sa.JSON(), nullable=False),
        sa.Column("how", sa.String(256), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.Column("last_connected", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "invites",
        sa.Column("hash", sa.String(256), primary_key=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
    )
    op.create_index("ix_invites_expires_at", "invites", ["expires_at"])
