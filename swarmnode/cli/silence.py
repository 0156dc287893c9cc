"""Saying why an answer has not begun yet, when it takes longer than one expects."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any

from swarmnode.cli.client import NodeClient
from swarmnode.values.errors import SwarmnodeError

QUIET_SECONDS = 1.0

Stream = Callable[[dict[str, Any]], Generator[Any, None, None]]


def explained(
    stream: Stream,
    reason: Callable[[], str],
    tell: Callable[[str], None],
    timer: Callable[..., Any] = threading.Timer,
) -> Stream:
    """The stream; when its first event takes longer than `QUIET_SECONDS`, `tell` gets the reason, once.

    reason: asked on a thread of its own; empty when there is nothing to say.
    """

    def notice() -> None:
        if text := reason():
            tell(text)

    def patient(body: dict[str, Any]) -> Generator[Any, None, None]:
        waiting = timer(QUIET_SECONDS, notice)
        waiting.daemon = True
        waiting.start()
        try:
            for event in stream(body):
                waiting.cancel()
                yield event
        finally:
            waiting.cancel()

    return patient


def why_silent(client: NodeClient, model: str) -> str:
    """What the node is at, while a request to the model waits; empty when it does not say."""
    try:
        status = client.fetch("/v1/status")
    except SwarmnodeError:
        return ""  # the request itself will say what is wrong
    loaded = {one.get("id"): one.get("state") for one in status.get("loaded_models") or ()}
    if loaded.get(model) == "starting":
        return f"[{model} is being loaded]"
    if queued := status.get("queued_requests", 0):
        return f"[{queued} requests are waiting]"
    return "[the model is reading]" if loaded.get(model) == "ready" else ""
