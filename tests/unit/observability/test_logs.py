"""The log: levels, forms, the bridges, and what never reaches it."""

from __future__ import annotations

import io
import json
import logging
import re
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
from twisted.logger import Logger
from twisted.python import log as legacy
from twisted.python.failure import Failure

from swarmnode.observability import logs as module
from swarmnode.observability.bridges import LoggingBridge
from swarmnode.observability.logs import diag, hide, set_up_logs
from swarmnode.observability.request_log import RequestLog, summary_line
from swarmnode.values.errors import Refused
from swarmnode.values.settings import LogSettings

KEY = "0f" * 32


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Captured:
    """A log set up on a text in memory."""

    def __init__(self, stream: io.StringIO, **settings: Any) -> None:
        self._stream = stream
        self.logs = set_up_logs(LogSettings(**settings), stream=stream, secrets=("", KEY))

    @property
    def lines(self) -> list[str]:
        return self._stream.getvalue().splitlines()

    @property
    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def capture() -> Iterator[Any]:
    yield lambda stream=None, **settings: Captured(stream or io.StringIO(), **settings)
    if module._current is not None:
        module._current.close()
        module._current = None


def speak() -> None:
    log = structlog.get_logger("swarmnode.test")
    for level in ("error", "warning", "info", "debug", "trace"):
        getattr(log, level)(level)


@pytest.mark.parametrize(
    ("level", "verbosity", "count"),
    [
        ("error", 0, 1),
        ("warn", 0, 2),
        ("info", 0, 3),
        ("debug", 0, 4),
        ("trace", 0, 5),
        ("error", 1, 3),
        ("error", 2, 4),
        ("error", 3, 5),
        ("error", 9, 5),
        ("debug", 1, 4),
    ],
)
def test_the_louder_of_level_and_verbosity_decides(capture: Any, level: str, verbosity: int, count: int):
    captured = capture(format="json", level=level, verbosity=verbosity)
    speak()
    assert [e["level"] for e in captured.entries] == ["error", "warn", "info", "debug", "trace"][:count]


def test_diag_lines_show_from_vv_on_in_both_forms(capture: Any):
    for verbosity, form in ((1, "pretty"), (2, "pretty"), (2, "json")):
        captured = capture(format=form, verbosity=verbosity)
        diag("prefix-cache HIT", matched_tokens=128, hit=True, model="a b")
        if verbosity == 1:
            assert captured.lines == []
        elif form == "pretty":
            assert captured.lines[0].endswith(
                'DIAG: prefix-cache HIT matched_tokens=128 hit=true model="a b"'
            )
        else:
            assert captured.entries[0]["event"] == "DIAG: prefix-cache HIT"
            assert captured.entries[0]["matched_tokens"] == 128


def test_every_json_line_parses_whatever_is_logged(capture: Any):
    captured = capture(format="json", level="trace")
    log = structlog.get_logger("swarmnode.test")
    log.info(
        "two\nlines\x1b[31m", quote='"', nan=float("nan"), inf=[float("-inf")], raw=b"\xff", half="\ud800"
    )
    log.info(
        "odd", level="mine", event_="x", time=1, nested={"a": {"b": {"c": {"d": {"e": 1}}}}}, obj=object()
    )
    log.info("keys", **{"\n": 1, "a b": 2})
    log.info(None, items=set())

    class Mean:
        def __str__(self) -> str:
            raise RuntimeError

    log.info("mean", it=Mean())
    assert len(captured.entries) == 5
    assert captured.entries[0]["nan"] == "nan"
    assert captured.entries[1]["level"] == "info"
    assert captured.entries[1]["level_"] == "mine"


def test_a_pretty_entry_stays_on_its_line_and_moves_no_cursor(capture: Any):
    captured = capture()
    structlog.get_logger("x").info("a\nfake line\x1b[2J", path="b\rc", name="\x9b\u2028\u202e")
    assert len(captured.lines) == 1
    assert not set(captured.lines[0]) & set("\x1b\r\x9b\u2028\u202e")


def test_who_keeps_the_log_adds_the_time(tmp_path: Path):
    stream = io.StringIO()
    logs = set_up_logs(LogSettings(), stream=stream, twisted=False)
    structlog.get_logger("x").info("hello")
    logs.close()
    assert stream.getvalue() == "info  hello\n"
    logs = set_up_logs(LogSettings(file=tmp_path / "log"), stream=stream, twisted=False)
    structlog.get_logger("x").info("hello")
    logs.close()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d .* info  hello\n", (tmp_path / "log").read_text())


def test_a_librarys_words_come_with_its_name(capture: Any):
    captured = capture()
    logging.getLogger("alembic.runtime").warning("upgraded")
    logging.getLogger("swarmnode.storage").warning("moved")
    assert captured.lines[0].endswith("warn  [alembic.runtime] upgraded")
    assert captured.lines[1].endswith("warn  moved")


def test_colours_are_for_terminals_that_want_them(capture: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for stream, no_color, expected in (
        (Terminal(), "", True),
        (io.StringIO(), "", False),
        (Terminal(), "1", False),
    ):
        monkeypatch.setenv("NO_COLOR", no_color)
        captured = capture(stream)
        structlog.get_logger("x").info("hello")
        assert ("\x1b[" in captured.lines[0]) is expected


def test_secrets_are_in_no_line(capture: Any):
    captured = capture(format="json", level="trace")
    passphrase = "open sesame"
    hide(passphrase)
    log = structlog.get_logger("x")
    log.info(f"key {KEY}", key=KEY, deep=[{"k": (KEY,)}], **{KEY: 1})
    log.info("by name", api_key="unknown-1", Authorization="unknown-2", headers={"X-Api-Key": "unknown-3"})
    log.info("by form: Authorization: Bearer unknown-4 and postgresql://me:unknown-5@host/db")
    log.info("sk-ant-api03-unknown6unknown6unknown6")
    try:
        raise ValueError(f"bad passphrase {passphrase}")
    except ValueError:
        log.exception("failed")
        logging.getLogger("other").exception("failed %s", KEY)
        Logger("other").failure("failed")
    log.info("x" * 4090 + KEY)
    text = "\n".join(captured.lines)
    assert len(captured.lines) == 8
    for secret in (KEY, KEY[:6] * 2, passphrase, *(f"unknown-{n}" for n in range(1, 6)), "unknown6"):
        assert secret not in text


def test_counts_of_tokens_are_no_secrets(capture: Any):
    captured = capture(format="json")
    structlog.get_logger("x").info("request", prompt_tokens=5, tokens=7, token="a")
    assert captured.entries[0]["prompt_tokens"] == 5
    assert captured.entries[0]["token"] == "a"


def test_logging_warnings_and_twisted_come_to_the_same_place(capture: Any):
    captured = capture(format="json")
    logging.getLogger("sqlalchemy.pool").warning("from %s", "logging")
    logging.getLogger("swarmnode.storage").info("ours")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old thing", stacklevel=1)
    Logger("twisted.web").warn("from {who}", who="twisted")
    legacy.msg("legacy", logLevel=logging.ERROR)
    legacy.err(Failure(ValueError("boom")), "why")
    thread = threading.Thread(target=lambda: 1 / 0, name="t")
    thread.start()
    thread.join()
    found = [(e["level"], e["logger"]) for e in captured.entries]
    assert found == [
        ("warn", "sqlalchemy.pool"),
        ("info", "swarmnode.storage"),
        ("warn", "py.warnings"),
        ("warn", "twisted.web"),
        ("error", "log_legacy"),
        ("error", "log_legacy"),
        ("error", "threading"),
    ]
    assert captured.entries[3]["event"] == "from twisted"
    assert "ValueError: boom" in captured.entries[5]["exception"]
    assert "ZeroDivisionError" in captured.entries[6]["exception"]


def test_others_must_be_one_level_more_important(capture: Any):
    quiet, loud = capture(format="json"), None
    logging.getLogger("alembic").info("chatter")
    Logger("twisted.web").info("chatter")
    assert quiet.entries == []
    loud = capture(format="json", verbosity=2)
    logging.getLogger("alembic").info("chatter")
    logging.getLogger("alembic").debug("more chatter")
    assert [e["event"] for e in loud.entries] == ["chatter"]


def test_a_wrong_format_string_of_a_library_stops_nothing(capture: Any):
    captured = capture(format="json")
    record = logging.LogRecord("swarmnode.x", logging.WARNING, "", 1, "%d and %s", ("no number",), None)
    LoggingBridge(captured.logs).handle(record)
    assert "no number" in captured.entries[0]["event"]


def test_set_up_again_writes_once_and_only_to_the_new_place(capture: Any):
    first = capture(format="json")
    second = capture(format="json")
    logging.getLogger("swarmnode.x").warning("w")
    Logger("swarmnode.x").warn("w")
    structlog.get_logger("x").warning("w")
    assert first.entries == []
    assert len(second.entries) == 3


def test_loggers_made_before_the_set_up_follow_it(capture: Any):
    early = structlog.get_logger("early")
    captured = capture(format="json")
    early.bind(peer="p").info("hello")
    assert (captured.entries[0]["logger"], captured.entries[0]["peer"]) == ("early", "p")


@pytest.mark.parametrize("settings", [{"level": "loud"}, {"format": "xml"}])
def test_a_bad_setting_is_refused_with_what_is_allowed(settings: dict[str, str]):
    with pytest.raises(Refused) as caught:
        set_up_logs(LogSettings(**settings))
    assert "pretty" in caught.value.hint or "trace" in caught.value.hint


def test_a_closed_stream_stops_nothing(capture: Any):
    stream = io.StringIO()
    capture(stream)
    stream.close()
    structlog.get_logger("x").info("nobody hears this")


def test_a_log_in_a_file_is_not_on_the_screen(capture: Any, tmp_path: Path):
    stream = Terminal()
    capture(stream, file=tmp_path / "node.log")
    structlog.get_logger("x").info("hello")
    assert stream.getvalue() == ""
    text = (tmp_path / "node.log").read_text()
    assert text.endswith("info  hello\n")
    assert "\x1b" not in text


@dataclass(frozen=True)
class Summary:
    request_id: str = "r-1"
    route: str = "local"
    model: str = "tiny model"
    outcome: str = "ok"
    error_type: str | None = None
    queue_ms: float | None = 0.0
    ttft_ms: float | None = 12.345
    decode_ms: float | None = None
    total_ms: float = 100.06
    prompt_tokens: int | None = 3
    tokens: int | None = 4
    tok_per_sec: float | None = 33.337


def test_the_line_of_a_request_leaves_out_what_was_not_measured(capture: Any):
    line = (
        'request route=local model="tiny model" queue_ms=0 ttft_ms=12.3 total_ms=100.1 prompt_tokens=3 '
        "tokens=4 tok_per_sec=33.34 outcome=ok request_id=r-1"
    )
    assert summary_line(Summary()) == line
    captured = capture()
    log = RequestLog()
    log.request_finished(Summary())
    log.requests_changed(1, 0)
    assert len(captured.lines) == 1
    assert captured.lines[0].endswith(line)
