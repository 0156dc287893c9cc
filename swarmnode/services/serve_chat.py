"""Serving a request: the one way from a `GenerationRequest` to its events (DESIGN 4).

Whatever API it came through and whatever runs it, a request is named, admitted or queued, run,
measured and written into one summary line here, and only here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from zope.interface import implementer

from swarmnode.driving.steering import Steering
from swarmnode.interfaces.generation import IEventSink, IGeneration
from swarmnode.interfaces.node import IResponseCore
from swarmnode.policy.admission import Load, admit
from swarmnode.policy.naming import resolve
from swarmnode.services.request_record import RequestRecord, RequestSummary
from swarmnode.values.cards import ModelCard
from swarmnode.values.deadlines import deadline_exceeded
from swarmnode.values.errors import LocalFault, SwarmnodeError, Unavailable
from swarmnode.values.generation import Failed, Finished, GenerationEvent, GenerationRequest, Started
from swarmnode.values.settings import ServingSettings


class Observer(Protocol):
    """Who wants to know how requests went: logs, metrics, the database."""

    def request_finished(self, summary: RequestSummary) -> None: ...

    def requests_changed(self, running: int, waiting: int) -> None: ...


@implementer(IResponseCore)
class ResponseCore:
    """generators: in order of preference. now: monotonic seconds. trace(kind, **fields): told of each
    step of each request, for the `DIAG:` lines of a verbose log. call_later: as of `IReactorTime`, to end
    requests whose time is over wherever they are; None: only what runs them does."""

    def __init__(
        self,
        generators: Sequence[Any],
        settings: ServingSettings,
        now: Callable[[], float],
        observers: Sequence[Observer] = (),
        trace: Callable[..., None] = lambda kind, **fields: None,
        call_later: Callable[[float, Callable[[], None]], Any] | None = None,
    ) -> None:
        self._generators = tuple(generators)
        self._settings = settings
        self._now = now
        self._observers = tuple(observers)
        self.trace = trace
        self._call_later = call_later
        self._running: set[_Flight] = set()
        self._waiting: OrderedDict[_Flight, None] = OrderedDict()
        self._closed = False

    def cards(self) -> tuple[ModelCard, ...]:
        return tuple(card for generator in self._generators for card in generator.cards())

    def find(self, name: str) -> ModelCard:
        return self._locate(name)[1]

    def submit(self, request: GenerationRequest, sink: Any) -> Any:
        flight = _Flight(self, request, sink, self._now())
        try:
            flight.generator, flight.card = self._locate(request.model)
        except SwarmnodeError as error:
            flight.fail(error)
            return flight
        flight.request = replace(request, model=flight.card.label)
        if self._closed:
            flight.fail(_stopping())
            return flight
        if self._call_later and request.timeout_seconds is not None:
            flight.timer = self._call_later(request.timeout_seconds, flight.is_late)
        limits = self._settings
        decision = admit(
            Load(len(self._running), len(self._waiting), limits.max_concurrent_requests, limits.max_queue)
        )
        if decision == "refuse":
            flight.fail(_queue_full(limits.max_queue))
        elif decision == "queue":
            self._waiting[flight] = None
            self.trace("queued", request_id=request.request_id, waiting=len(self._waiting))
            self._changed()
        else:
            self._start(flight)
        return flight

    @property
    def active(self) -> int:
        """Requests running now."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Requests that wait for a place."""
        return len(self._waiting)

    def close(self) -> None:
        """Refuse what comes, end what waits and what runs by name. For an orderly stop."""
        self._closed = True
        for flight in [*self._waiting, *self._running]:
            flight.abort(_stopping())

    def _locate(self, name: str) -> tuple[Any, ModelCard]:
        known = {
            card.label: (generator, card)
            for generator in reversed(self._generators)
            for card in generator.cards()
        }
        label = resolve(name, [card.label for card in self.cards()], self._settings.default_model)
        return known[label]

    def _start(self, flight: _Flight) -> None:
        self._running.add(flight)
        self._changed()
        flight.start(self._now())

    def _changed(self) -> None:
        for observer in self._observers:
            observer.requests_changed(len(self._running), len(self._waiting))

    def left(self, flight: _Flight, summary: RequestSummary) -> None:
        """A flight is over: free its place, tell the observers, start who waits first."""
        self._running.discard(flight)
        self._waiting.pop(flight, None)
        self._changed()
        for observer in self._observers:
            observer.request_finished(summary)
        while (
            self._waiting and len(self._running) < self._settings.max_concurrent_requests and not self._closed
        ):
            following, _ = self._waiting.popitem(last=False)
            self._start(following)


@implementer(IEventSink, IGeneration)
class _Flight:
    """One request between a client's sink and whatever runs it."""

    def __init__(self, core: ResponseCore, request: GenerationRequest, sink: Any, now: float) -> None:
        self.core = core
        self.request = request
        self.generator: Any = None
        self.card: ModelCard | None = None
        self.timer: Any = None
        self._submitted = now
        self._begun: float | None = None
        self._sink = sink
        self._steering = Steering()
        self._record = RequestRecord(request, now)
        self._over = False

    def start(self, now: float) -> None:
        self._begun = now
        if self.request.timeout_seconds is not None:
            left = self._submitted + self.request.timeout_seconds - now
            self.request = replace(self.request, timeout_seconds=max(0.0, left))
        self._record.started(now, self.request.model)
        self.core.trace(
            "dispatch", request_id=self.request.request_id, model=self.request.model, n=self.request.n
        )
        try:
            # It may be over, even cancelled, by the time this returns.
            self._steering.attach(self.generator.generate(self.request, self))
        except Exception as error:
            self.abort(_as_fault(error))

    def event(self, event: GenerationEvent) -> None:
        if self._over:
            return
        self._record.saw(event, self.core._now())
        if isinstance(event, Started):
            self.core.trace(
                "execute",
                request_id=self.request.request_id,
                prompt_tokens=event.prompt_tokens,
                cached_tokens=event.cached_tokens,
                profile=event.profile,
            )
        elif isinstance(event, Finished):
            event = replace(event, timings=self._record.timings())
        self._sink.event(event)
        if isinstance(event, Finished | Failed):
            self._end()

    def pause(self) -> None:
        self._steering.pause()

    def resume(self) -> None:
        self._steering.resume()

    def cancel(self) -> None:
        if self._over:
            return
        self._steering.cancel()
        self._record.cancelled()
        self._end()

    def fail(self, error: SwarmnodeError) -> None:
        """End with an error before or instead of running."""
        self.event(Failed(error))

    def abort(self, error: SwarmnodeError) -> None:
        """End with an error and stop whatever runs."""
        if not self._over:
            self._steering.cancel()
        self.fail(error)

    def is_late(self) -> None:
        """Its time is over."""
        self.timer = None
        now = self.core._now()
        begun = now if self._begun is None else self._begun
        self.abort(deadline_exceeded(now - self._submitted, begun - self._submitted))

    def _end(self) -> None:
        if not self._over:
            self._over = True
            if self.timer is not None:
                self.timer.cancel()
                self.timer = None
            summary = self._record.summary(self.core._now())
            self.core.trace(
                "done", request_id=summary.request_id, outcome=summary.outcome, tokens=summary.tokens
            )
            self.core.left(self, summary)


def _stopping() -> Unavailable:
    return Unavailable(
        "The node is stopping", code="stopping", hint="Send the request again when it has started."
    )


def _queue_full(limit: int) -> Unavailable:
    return Unavailable(
        f"{limit} requests are waiting already",
        code="queue_full",
        hint="Try again in a moment, or raise inference.max_concurrent_requests.",
    )


def _as_fault(error: Exception) -> SwarmnodeError:
    if isinstance(error, SwarmnodeError):
        return error
    return LocalFault(
        f"{type(error).__name__}: {error}", code="internal_error", hint="The log has the details."
    )
