"""Tables, JSON lines and progress."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest

from swarmnode.cli.output import Progress, columns, print_json


def test_columns_are_aligned_and_have_no_tail() -> None:
    assert columns([("a", "long cell", "x"), ("bbb", "c", "")]) == "a    long cell  x\nbbb  c"
    assert columns([]) == ""


def test_json_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"text": "two\nlines é", "path": Path("/x")})
    assert capsys.readouterr().out == '{"text": "two\\nlines é", "path": "/x"}\n'


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_drawn_in_place_on_a_terminal() -> None:
    terminal = Terminal()
    progress = Progress("requests", 2, terminal)
    progress.step()
    progress.step()
    half, whole = "#" * 12 + "." * 12, "#" * 24
    assert terminal.getvalue() == f"\rrequests [{half}] 1/2\rrequests [{whole}] 2/2\n"


def test_progress_is_a_line_a_step_elsewhere() -> None:
    log = io.StringIO()
    progress = Progress("requests", 100, log)
    threads = [threading.Thread(target=lambda: [progress.step() for _ in range(25)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.getvalue().splitlines() == [f"requests {number}/100" for number in range(1, 101)]


def test_progress_by_more_than_one() -> None:
    log = io.StringIO()
    progress = Progress("tokens", 300, log)
    progress.step(128)
    progress.step(172)
    assert log.getvalue() == "tokens 128/300\ntokens 300/300\n"
