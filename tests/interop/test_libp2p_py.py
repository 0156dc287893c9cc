"""Our node and py-libp2p's."""

from __future__ import annotations

import pytest
from conversations import Conversations
from libp2p_peers import py_node

pytestmark = pytest.mark.timeout(180)


class TestPy(Conversations):
    start = staticmethod(py_node)
