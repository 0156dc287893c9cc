"""Our node and js-libp2p's."""

from __future__ import annotations

import pytest
from conversations import Conversations
from libp2p_peers import js_node

pytestmark = pytest.mark.timeout(180)


class TestJs(Conversations):
    start = staticmethod(js_node)
