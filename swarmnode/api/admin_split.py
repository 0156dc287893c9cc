"""The owner's route for trying out a model that is cut over two nodes."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from swarmnode.api.body import BodyReader
from swarmnode.api.checks import done, integer, invalid_type, invalid_value, read_fields, table_of, text
from swarmnode.api.replies import reply_json
from swarmnode.api.routing import Router
from swarmnode.values.errors import Unavailable
from swarmnode.values.splitting import SplitWish

MAX_PROMPT_CHARS = 65536
MAX_TOKENS = 4096
MAX_RANGES = 16


def _numbers(value: Any, param: str) -> tuple[int, ...]:
    """An array of a few whole numbers from 0."""
    if not isinstance(value, list):
        raise invalid_type(param, "an array of integers", value)
    if not 1 <= len(value) <= MAX_RANGES:
        raise invalid_value(param, f"must have 1 to {MAX_RANGES} entries")
    one = integer(0, MAX_RANGES - 1)
    return tuple(one(item, f"{param}[{index}]") for index, item in enumerate(value))


FIELDS = table_of(
    done("peer", text(4096, 1), "text", "a peer id, a multiaddr or an invite code", required=True),
    done("prompt", text(MAX_PROMPT_CHARS, 1), "text", "what the model is asked", required=True),
    done("model", text(256), "text", "the model; default: the node's"),
    done("split", text(256, 1), "text", "ranges of layers, as `0-2,3-5`; default: two halves"),
    done("remote", _numbers, "an array", "which ranges the peer computes, from 0; default: the last"),
    done("max_tokens", integer(1, MAX_TOKENS), f"1 to {MAX_TOKENS}", "tokens of each answer; default 32"),
    done("seed", integer(0, 2**64 - 1), "0 to 2^64-1", "of the answer that is drawn by chance; default 7"),
)


class SplitRoutes:
    """splits: `ISplitAdmin`, or None where there is no network."""

    def __init__(self, splits: Any, bodies: BodyReader) -> None:
        self._splits, self._bodies = splits, bodies

    def add_to(self, router: Router) -> None:
        """Add the route."""
        router.add("POST", "/api/admin/test-split", self.compare)

    def compare(self, request: Any) -> Deferred[bytes]:
        """Run a model whole and cut, and say whether the answers are the same. Who hangs up ends it."""
        if self._splits is None:
            raise Unavailable("This node is on no network", code="no_network")
        working = self._bodies.read(request, lambda body: SplitWish(**read_fields(FIELDS, body)))
        working.addCallback(self._splits.compare)
        return working.addCallback(lambda result: reply_json(request, result))
