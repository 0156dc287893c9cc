"""What the node writes down, as functions of a session for `Database.run`.

Times are Unix seconds here and milliseconds in the tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from swarmnode.storage.schema import MAX_NAME_CHARS, ModelRecord, NodeSetting, RequestRow, UsageCounter

#: Requests remembered; older ones are forgotten, a few at a time.
MAX_REQUESTS = 10_000
FORGET_EVERY = 64
MAX_LISTED = 1000

#: The figures of a summary that are stored, under the names of the summary line.
FIGURES = ("queue_ms", "ttft_ms", "decode_ms", "total_ms", "prompt_tokens", "tokens", "tok_per_sec")


class Summary(Protocol):
    """One finished request, as the response core tells of it; None is "not measured"."""

    @property
    def request_id(self) -> str: ...
    @property
    def route(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def outcome(self) -> str: ...
    @property
    def error_type(self) -> str | None: ...
    @property
    def prompt_tokens(self) -> int | None: ...
    @property
    def tokens(self) -> int | None: ...


def put_setting(session: Session, name: str, value: Any, stamp: float) -> None:
    """Remember a JSON-able value under a name."""
    session.merge(NodeSetting(name=name, value=value, changed_at=_milliseconds(stamp)))


def get_setting(session: Session, name: str, default: Any = None) -> Any:
    """The value remembered under a name."""
    found = session.get(NodeSetting, name)
    return default if found is None else found.value


def note_model(session: Session, label: str, path: str, stamp: float) -> None:
    """A model was used now."""
    name = _name(label)
    record = session.get(ModelRecord, name)
    if record is None:
        record = ModelRecord(label=name, path=path, last_used_at=0, uses=0)
        session.add(record)
    record.path, record.last_used_at = path, _milliseconds(stamp)
    record.uses += 1


def known_models(session: Session) -> list[dict[str, Any]]:
    """The models used so far, the latest first: label, path, last_used_at (Unix ms), uses."""
    rows = session.scalars(select(ModelRecord).order_by(ModelRecord.last_used_at.desc()).limit(MAX_LISTED))
    return [{"label": r.label, "path": r.path, "last_used_at": r.last_used_at, "uses": r.uses} for r in rows]


def add_request(session: Session, summary: Summary, stamp: float) -> None:
    """Write a finished request down and count it."""
    row = RequestRow(
        finished_at=_milliseconds(stamp),
        request_id=_name(summary.request_id),
        route=_name(summary.route),
        model=_name(summary.model),
        outcome=_name(summary.outcome),
        error_type=None if summary.error_type is None else _name(summary.error_type),
        **{name: getattr(summary, name, None) for name in FIGURES},
    )
    session.add(row)
    session.flush()
    if row.id % FORGET_EVERY == 0:
        session.execute(delete(RequestRow).where(RequestRow.id <= row.id - MAX_REQUESTS))
    add_usage(
        session,
        {"requests": 1, "prompt_tokens": summary.prompt_tokens or 0, "tokens": summary.tokens or 0},
    )


def recent_requests(session: Session, limit: int = 100) -> list[dict[str, Any]]:
    """The last finished requests, the latest first; what was not measured is left out."""
    names = ("finished_at", "request_id", "route", "model", "outcome", "error_type", *FIGURES)
    rows = session.scalars(select(RequestRow).order_by(RequestRow.id.desc()).limit(min(limit, MAX_LISTED)))
    return [{name: value for name in names if (value := getattr(row, name)) is not None} for row in rows]


def count_requests(session: Session) -> int:
    """How many requests are remembered."""
    return session.scalar(select(func.count()).select_from(RequestRow)) or 0


def add_usage(session: Session, amounts: Mapping[str, int]) -> None:
    """Add to counters; a counter begins at 0."""
    for name, amount in amounts.items():
        counter = session.get(UsageCounter, _name(name))
        if counter is None:
            counter = UsageCounter(name=_name(name), value=0)
            session.add(counter)
        counter.value += amount


def usage(session: Session) -> dict[str, int]:
    """All counters."""
    return {c.name: c.value for c in session.scalars(select(UsageCounter).limit(MAX_LISTED))}


def _milliseconds(stamp: float) -> int:
    return int(stamp * 1000)


def _name(text: str) -> str:
    # A client may name a model with half a surrogate pair, which no database stores.
    return text.encode("utf-8", "replace").decode("utf-8")[:MAX_NAME_CHARS]
