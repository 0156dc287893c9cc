"""What is written down about models, requests and usage, in a database in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy.orm import Session

from swarmnode.storage import records
from swarmnode.storage.engines import make_engine
from swarmnode.storage.migrating import bring_up_to_date
from swarmnode.storage.records import (
    add_request,
    add_usage,
    count_requests,
    get_setting,
    known_models,
    note_model,
    put_setting,
    recent_requests,
    usage,
)


@dataclass(frozen=True)
class Summary:
    request_id: str = "r-1"
    route: str = "local"
    model: str = "m"
    outcome: str = "ok"
    error_type: str | None = None
    queue_ms: float | None = 1.5
    ttft_ms: float | None = None
    decode_ms: float | None = 0.0
    total_ms: float | None = 10.0
    prompt_tokens: int | None = 3
    tokens: int | None = 4
    tok_per_sec: float | None = None


@pytest.fixture
def session() -> Iterator[Session]:
    engine = make_engine("sqlite://")
    bring_up_to_date(engine)
    with Session(engine) as session, session.begin():
        yield session
    engine.dispose()


def test_a_setting_is_replaced(session: Session):
    assert get_setting(session, "x", "absent") == "absent"
    put_setting(session, "x", [1], 1.0)
    put_setting(session, "x", {"b": None}, 2.0)
    assert get_setting(session, "x", "absent") == {"b": None}


def test_models_come_latest_first(session: Session):
    note_model(session, "old", "/old.gguf", 1.0)
    note_model(session, "new", "/new.gguf", 3.0)
    note_model(session, "old", "/moved.gguf", 2.0)
    assert known_models(session) == [
        {"label": "new", "path": "/new.gguf", "last_used_at": 3000, "uses": 1},
        {"label": "old", "path": "/moved.gguf", "last_used_at": 2000, "uses": 2},
    ]


def test_what_was_not_measured_is_absent_and_a_measured_nought_is_not(session: Session):
    add_request(session, Summary(), 12.0)
    assert recent_requests(session) == [
        {
            "finished_at": 12000,
            "request_id": "r-1",
            "route": "local",
            "model": "m",
            "outcome": "ok",
            "queue_ms": 1.5,
            "decode_ms": 0.0,
            "total_ms": 10.0,
            "prompt_tokens": 3,
            "tokens": 4,
        }
    ]


def test_requests_are_counted_for_ever_and_remembered_for_a_while(
    session: Session, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(records, "MAX_REQUESTS", 100)
    for number in range(300):
        add_request(session, Summary(request_id=f"r-{number}"), float(number))
    assert 100 <= count_requests(session) < 100 + records.FORGET_EVERY
    assert [r["request_id"] for r in recent_requests(session, 2)] == ["r-299", "r-298"]
    assert usage(session) == {"requests": 300, "prompt_tokens": 900, "tokens": 1200}


def test_counters_add_up(session: Session):
    add_usage(session, {"a": 1, "b": 2})
    add_usage(session, {"a": 2**40})
    assert usage(session) == {"a": 2**40 + 1, "b": 2}


def test_names_from_outside_are_cut_and_mended(session: Session):
    add_request(session, Summary(model="\ud800" + "x" * 1000, tokens=None), 1.0)
    assert recent_requests(session)[0]["model"] == "?" + "x" * 255
    assert usage(session)["tokens"] == 0
