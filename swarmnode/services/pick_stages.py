"""The stages of one answer over two nodes: some layers on workers here, some on a peer."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.task import deferLater

from swarmnode.driving.driver import Clock
from swarmnode.services.use_stage import RemoteStage
from swarmnode.values.cards import ModelCard
from swarmnode.values.errors import Refused, SwarmnodeError, Unavailable
from swarmnode.values.layers import LayerRange

#: Sessions tried on a peer for one place of an answer, and seconds before the second and the third.
MAX_TRIES = 3
RETRY_SECONDS = (1.0, 4.0)


@dataclass(frozen=True, slots=True)
class Places:
    """Who can compute. lease(card, layers, name): as `IWorkerPool.stage`. remote(layers): on the peer."""

    clock: Clock
    lease: Callable[[ModelCard, LayerRange, str], Any]
    remote: Callable[[LayerRange], RemoteStage]


class PickStages:
    """For one answer. elsewhere: the indices of the ranges that the peer computes. A stage there that is lost
    is opened again, a few times; what the peer refuses is not asked again."""

    def __init__(self, places: Places, card: ModelCard, elsewhere: Collection[int], name: str) -> None:
        self._places, self._card, self._elsewhere, self._name = places, card, frozenset(elsewhere), name
        self._last: dict[int, RemoteStage] = {}
        self._tries: dict[int, int] = {}
        self._numbers = count(1)

    def find(self, index: int, layers: LayerRange) -> Deferred[Any]:
        """As `driving.pipeline.Find`. Fails with `Unavailable` (`stage_lost`), what the peer refused, or why
        there is no worker."""
        if index not in self._elsewhere:
            return maybeDeferred(self._own, layers)
        tries = self._tries.get(index, 0)
        last = self._last.get(index)
        error = last.error if last is not None else None
        if last is not None and (tries >= MAX_TRIES or isinstance(error, Refused)):
            return fail(_lost(last.peer, layers, error))
        self._tries[index] = tries + 1
        if not tries:
            return succeed(self._there(index, layers))
        return deferLater(self._places.clock, RETRY_SECONDS[tries - 1], self._there, index, layers)  # type: ignore[arg-type]

    def _own(self, layers: LayerRange) -> Any:
        return self._places.lease(self._card, layers, f"{self._name} {next(self._numbers)}").ready()

    def _there(self, index: int, layers: LayerRange) -> RemoteStage:
        stage = self._last[index] = self._places.remote(layers)
        return stage


def _lost(peer: str, layers: LayerRange, error: SwarmnodeError | None) -> SwarmnodeError:
    reason = error.message if error is not None else "it gave no reason"
    if isinstance(error, Refused):
        return Refused(
            f"The node {peer} does not compute layers {layers}: {reason}", code=error.code, hint=error.hint
        )
    return Unavailable(
        f"The stage of layers {layers} on the node {peer} was lost: {reason}",
        code="stage_lost",
        hint="`swarmnode peers` shows whether the node is there; its log says what went wrong.",
    )
