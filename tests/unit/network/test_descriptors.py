"""The limit on open files, in processes of their own: it cannot be raised again once it is lowered."""

from __future__ import annotations

import subprocess
import sys

import pytest

from swarmnode.network.descriptors import (
    MIN_CONNECTIONS,
    RESERVED_DESCRIPTORS,
    WANTED_DESCRIPTORS,
    connections_within,
)

SCRIPT = """
import resource
from swarmnode.network.descriptors import raise_limit
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
print(raise_limit({wanted}), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "told", "then"),
    [(64, 512, 256, 256, 256), (64, 128, 256, 128, 128), (100, 200, 80, 80, 100), (64, 64, 256, 64, 64)],
)
def test_the_limit_is_raised_as_far_as_it_may_be(
    soft: int, hard: int, wanted: int, told: int, then: int
) -> None:
    script = SCRIPT.format(soft=soft, hard=hard, wanted=wanted)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(told), str(then)]


def test_connections_leave_room_for_the_rest() -> None:
    assert connections_within(WANTED_DESCRIPTORS, 1024) == 1024
    assert connections_within(1024, 1024) == 1024 - RESERVED_DESCRIPTORS
    assert connections_within(64, 1024) == MIN_CONNECTIONS
