"""Saying why an answer has not begun."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from swarmnode.cli.silence import explained, why_silent
from swarmnode.testing.canned_http import CannedNode


class Hourglass:
    """A timer that runs out when the test says so."""

    def __init__(self, seconds: float, call: Callable[[], None]) -> None:
        self.call, self.running = call, False

    def start(self) -> None:
        self.running = True

    def cancel(self) -> None:
        self.running = False

    def run_out(self) -> None:
        if self.running:
            self.call()


def told(run_out_after: int) -> list[str]:
    """What is said when the time is up after so many events of three."""
    said: list[str] = []
    timers: list[Hourglass] = []

    def timer(*args: Any) -> Hourglass:
        timers.append(Hourglass(*args))
        return timers[-1]

    def stream(body: dict[str, Any]) -> Generator[Any, None, None]:
        for number in range(3):
            if number == run_out_after:
                timers[0].run_out()
            yield number

    assert list(explained(stream, lambda: "because", said.append, timer)({})) == [0, 1, 2]
    assert not timers[0].running
    return said


def test_a_reason_is_given_before_the_first_event_only() -> None:
    assert told(run_out_after=0) == ["because"]
    assert told(run_out_after=1) == []


def test_the_timer_stops_with_a_stream_that_fails() -> None:
    timers: list[Hourglass] = []

    def timer(*args: Any) -> Hourglass:
        timers.append(Hourglass(*args))
        return timers[-1]

    def stream(body: dict[str, Any]) -> Generator[Any, None, None]:
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        list(explained(stream, lambda: "because", lambda text: None, timer)({}))
    assert not timers[0].running


@pytest.mark.parametrize(
    ("models", "queued", "text"),
    [
        ([], 0, ""),
        ([{"id": "big", "state": "starting"}], 3, "[big is being loaded]"),
        ([{"id": "big", "state": "ready"}], 3, "[3 requests are waiting]"),
        ([{"id": "big", "state": "ready"}], 0, "[the model is reading]"),
    ],
)
def test_reasons(models: list[dict[str, str]], queued: int, text: str) -> None:
    node = CannedNode()
    node.answer_json({"loaded_models": models, "queued_requests": queued})
    assert why_silent(node.client(), "big") == text


def test_no_reason_where_the_node_gives_none() -> None:
    node = CannedNode()
    node.answer_json({"error": {"message": "Stopping", "code": "stopping"}}, status=503)
    assert why_silent(node.client(), "big") == ""
