from __future__ import annotations

import pytest

from swarmnode.policy.admission import Load, admit


@pytest.mark.parametrize(
    ("running", "waiting", "decision"),
    [(0, 0, "run"), (1, 0, "run"), (2, 0, "queue"), (2, 2, "queue"), (2, 3, "refuse"), (1, 1, "queue")],
)
def test_places_then_queue_then_refusal(running: int, waiting: int, decision: str) -> None:
    assert admit(Load(running, waiting, max_running=2, max_waiting=3)) == decision
