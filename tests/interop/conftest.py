"""Fixtures, and the modules beside the tests, which the processes that they start share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = str(Path(__file__).resolve().parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)
pytest.register_assert_rewrite("conversations", "libp2p_peers")

from conversations import TOPIC, Pair  # noqa: E402 - where to find it was said above
from libp2p_peers import KAD, our_node  # noqa: E402

#: The trust of whoever is vouched for.
VOUCHED = 0.6


@pytest.fixture(scope="class", params=["we dial them", "they dial us"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Our node and one that the test class starts, connected."""
    with our_node(topics=[TOPIC], kad=KAD) as ours, request.cls.start(topics=[TOPIC], kad=KAD) as theirs:
        dialling, listening = (ours, theirs) if request.param == "we dial them" else (theirs, ours)
        assert dialling.ask("dial", address=listening.address) == listening.peer
        listening.until("peers", lambda peers: dialling.peer in peers)
        yield ours, theirs
        # It began at this, as connections over loopback do at both ends.
        assert ours.ask("trust", peer=theirs.peer) >= VOUCHED, "they broke the rules, we think"
