"""All workers of the node: one process a model, loaded on demand, within one memory budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from twisted.internet.defer import Deferred, DeferredList, fail, succeed
from zope.interface import implementer

from swarmnode.interfaces.catalog import IWorkerPool
from swarmnode.policy.memory import choose_eviction
from swarmnode.values.cards import ModelCard
from swarmnode.values.errors import LocalFault, SwarmnodeError, Unavailable
from swarmnode.values.generation import Failed, GenerationRequest
from swarmnode.values.layers import LayerRange
from swarmnode.values.loading import LoadedModel
from swarmnode.values.settings import WorkerSettings
from swarmnode.workers.hosted_model import HostedModel
from swarmnode.workers.load_plan import Memory, plan_load, stage_label, workers_budget
from swarmnode.workers.process import WorkerProcess
from swarmnode.workers.stage_lease import StageLease

log = structlog.get_logger("workers")

#: Models of which the pool remembers anything at a time.
MAX_MODELS = 256
#: Seconds after its last session that a worker for some layers of a model stays at most.
STAGE_IDLE_SECONDS = 120.0


class _Over:
    """The handle of a request that failed before it began."""

    def pause(self) -> None:
        """Nothing to pause."""

    def resume(self) -> None:
        """Nothing to resume."""

    def cancel(self) -> None:
        """Nothing to cancel."""


@implementer(IWorkerPool)
class WorkerPool:
    """See `IWorkerPool`.

    reactor: what `WorkerProcess` needs (in tests a `Clock`, with a `spawn` of the test's).
    backends: back end name -> dotted path of its engine factory.
    machine: the machine's memory and cores now, as `load_plan.Memory`.
    options: what a card's engine gets as `LoadSpec.options`.
    noticed: told ('loaded' | 'unloaded' | 'crashed', label), for metrics and events.
    """

    def __init__(
        self,
        reactor: Any,
        settings: WorkerSettings,
        backends: Mapping[str, str],
        *,
        machine: Callable[[], Memory],
        options: Callable[[ModelCard], Mapping[str, Any]] = lambda card: {},
        noticed: Callable[[str, str], None] = lambda what, label: None,
        spawn: Callable[[str, Callable[[SwarmnodeError], None]], Any] | None = None,
    ) -> None:
        self._reactor, self._settings, self._backends = reactor, settings, dict(backends)
        self._machine, self._options, self._noticed = machine, options, noticed
        self._spawn = spawn or (lambda label, lost: WorkerProcess(reactor, label, lost))
        self._models: dict[str, HostedModel] = {}
        self._stopping = False

    def generate(self, card: ModelCard, request: GenerationRequest, sink: Any) -> Any:
        """As `IWorkerPool` says. A request waits, in bounded number, while its model is loaded."""
        try:
            return self._model(card).submit(request, sink)
        except SwarmnodeError as error:
            sink.event(Failed(error))
            return _Over()

    def stage(self, card: ModelCard, layers: LayerRange | None, name: str) -> StageLease:
        """As `IWorkerPool` says."""
        whole = card.facts is not None and layers == LayerRange(0, card.facts.layers)
        return self._model(card, None if whole else layers).lease(name)

    def preload(self, card: ModelCard) -> None:
        """Load a model before anybody asks for it; failures are logged, and told to who asks then."""
        try:
            self._model(card).preload()
        except SwarmnodeError as error:
            log.warning("model not preloaded", model=card.label, reason=error.message)

    def _model(self, card: ModelCard, layers: LayerRange | None = None) -> HostedModel:
        if self._stopping:
            raise _node_stopping()
        if card.backend not in self._backends:
            raise LocalFault(
                f"{card.label} wants the back end {card.backend!r}, which is not installed",
                code="backend_missing",
                hint="See `swarmnode plugins` for what is there.",
            )
        label = stage_label(card, layers)
        model = self._models.get(label)
        if model is None or (model.spec.path != card.path and model.state == "down"):
            self._forget_idle()
            model = self._models[label] = self._hosted(card, layers)
        return model

    def _hosted(self, card: ModelCard, layers: LayerRange | None) -> HostedModel:
        options, cores = self._options(card), self._machine().cores
        idle = float(self._settings.idle_unload_seconds)
        if layers is not None:  # it may be another node's wish, and must not stay for ever
            idle = min(idle or STAGE_IDLE_SECONDS, STAGE_IDLE_SECONDS)
        return HostedModel(
            plan_load(card, self._settings, cores, self._budget(), options, layers),
            self._backends[card.backend],
            clock=self._reactor,
            spawn=self._spawn,
            room=self._make_room,
            idle_seconds=idle,
            noticed=self._noticed,
        )

    def _budget(self) -> int:
        """Bytes that all workers together may take."""
        held = sum(model.as_loaded().resident_bytes for model in self._models.values())
        return workers_budget(self._machine(), self._settings, held)

    def _forget_idle(self) -> None:
        """Drop what is remembered of models without a worker, when it is too much."""
        if len(self._models) >= MAX_MODELS:
            down = [m.label for m in self._models.values() if not m.holds_memory and not m.busy]
            for label in down:
                del self._models[label]

    def _make_room(self, model: HostedModel) -> Deferred[None]:
        """Unload what has to go before the model is loaded; fires when it is gone."""
        others = [m for m in self._models.values() if m.holds_memory and m is not model]
        try:
            leaving = choose_eviction(_recent_first(others), model.footprint_bytes, self._budget())
        except SwarmnodeError as error:
            return fail(error)
        gone = [self._models[label].stop() for label in leaving]
        return DeferredList(gone).addCallback(lambda results: None) if gone else succeed(None)

    def loaded(self) -> tuple[LoadedModel, ...]:
        """As `IWorkerPool` says."""
        return _recent_first([m for m in self._models.values() if m.holds_memory])

    def unload(self, label: str) -> Deferred[bool]:
        """As `IWorkerPool` says; requests that wait or run fail by name."""
        model = self._models.get(label)
        if model is None or not model.holds_memory:
            return succeed(False)
        return model.stop().addCallback(lambda _result: True)

    def stop(self) -> Deferred[None]:
        """End all workers in order; fires when all processes are reaped."""
        self._stopping = True
        leaving = [model.stop(_node_stopping()) for model in self._models.values()]
        return DeferredList(leaving).addCallback(lambda results: None)


def _recent_first(models: Sequence[HostedModel]) -> tuple[LoadedModel, ...]:
    ordered = sorted(models, key=lambda model: model.last_used, reverse=True)
    return tuple(model.as_loaded() for model in ordered)


def _node_stopping() -> Unavailable:
    return Unavailable("The node is stopping", code="node_stopping", hint="Start it again and retry.")
