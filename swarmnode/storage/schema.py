"""The tables of a node's database. Changing one needs a new file in `migrations/versions`.

Times are Unix milliseconds. Nothing here holds the text of a prompt or an answer.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Double, Integer, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

#: Every revision in order; the last one is what this version works with (a test compares the list
#: with the files). It is here so that an up-to-date database is opened without importing Alembic.
REVISIONS = ("0001", "0002", "0003")

#: Marks an SQLite file as ours (`PRAGMA application_id`): the letters `SWRM`.
APPLICATION_ID = 0x5357524D

MAX_NAME_CHARS = 256


class Base(DeclarativeBase):
    """The metadata of all tables."""


class NodeSetting(Base):
    """What the node itself must remember, as JSON by name (not the user's configuration)."""

    __tablename__ = "node_settings"

    name: Mapped[str] = mapped_column(String(MAX_NAME_CHARS), primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)
    changed_at: Mapped[int] = mapped_column(BigInteger)


class ModelRecord(Base):
    """A model file that was used."""

    __tablename__ = "model_records"

    label: Mapped[str] = mapped_column(String(MAX_NAME_CHARS), primary_key=True)
    path: Mapped[str] = mapped_column(Text)
    last_used_at: Mapped[int] = mapped_column(BigInteger)
    uses: Mapped[int] = mapped_column(BigInteger)


class RequestRow(Base):
    """One request in figures; NULL is "not measured", never 0."""

    __tablename__ = "request_summaries"

    # SQLite counts rowids by itself only for a column that is exactly INTEGER.
    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    finished_at: Mapped[int] = mapped_column(BigInteger, index=True)
    request_id: Mapped[str] = mapped_column(String(MAX_NAME_CHARS))
    route: Mapped[str] = mapped_column(String(MAX_NAME_CHARS))
    model: Mapped[str] = mapped_column(String(MAX_NAME_CHARS))
    outcome: Mapped[str] = mapped_column(String(MAX_NAME_CHARS))
    error_type: Mapped[str | None] = mapped_column(String(MAX_NAME_CHARS))
    queue_ms: Mapped[float | None] = mapped_column(Double)
    ttft_ms: Mapped[float | None] = mapped_column(Double)
    decode_ms: Mapped[float | None] = mapped_column(Double)
    total_ms: Mapped[float | None] = mapped_column(Double)
    prompt_tokens: Mapped[int | None]
    tokens: Mapped[int | None]
    tok_per_sec: Mapped[float | None] = mapped_column(Double)


class UsageCounter(Base):
    """A number that only grows, kept over restarts."""

    __tablename__ = "usage_counters"

    name: Mapped[str] = mapped_column(String(MAX_NAME_CHARS), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


class PeerTrust(Base):
    """How far a peer is trusted, 0 to 1, at a moment; `policy/trust.py` says how it goes on from there."""

    __tablename__ = "peer_trust"

    peer: Mapped[str] = mapped_column(String(MAX_NAME_CHARS), primary_key=True)
    score: Mapped[float] = mapped_column(Double)
    start: Mapped[float] = mapped_column(Double)
    changed_at: Mapped[int] = mapped_column(BigInteger)


class KnownPeerRow(Base):
    """A peer that was connected, to be found again after a restart. addresses: texts of multiaddrs, the best
    first."""

    __tablename__ = "known_peers"

    peer: Mapped[str] = mapped_column(String(MAX_NAME_CHARS), primary_key=True)
    addresses: Mapped[Any] = mapped_column(JSON)
    how: Mapped[str] = mapped_column(String(MAX_NAME_CHARS))
    last_seen: Mapped[int] = mapped_column(BigInteger)
    last_connected: Mapped[int] = mapped_column(BigInteger)


class InviteRow(Base):
    """An invite that this node gave out: the hash of its token, never the token. uses: that are left."""

    __tablename__ = "invites"

    hash: Mapped[str] = mapped_column(String(MAX_NAME_CHARS), primary_key=True)
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)
    uses: Mapped[int] = mapped_column(Integer)
