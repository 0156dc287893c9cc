"""The head of a pipeline: one answer over stages in a row, any of which may be lost at any moment.

The tokens flow as data: a stage that is open and idle computes the next rows whose inputs are there.
Prompts therefore move through all stages at once, chunk after chunk. When a stage is lost the epoch is
raised and a new one takes its place with nothing computed; it is fed again from the inputs kept at its
cut or, where those were too many, by computing the stages before it again from the tokens. Numbers are
canonical (DESIGN 6), so what is computed twice is the same twice, and the text goes on unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from swarmnode.protocols.pipeline.kept_inputs import KeptInputs
from swarmnode.protocols.pipeline.vocabulary import (
    Abort,
    Begin,
    CloseSession,
    Deliver,
    Done,
    DropStage,
    NeedStage,
    NewStage,
    NoStage,
    OpenSession,
    SendStep,
    StageLost,
    StageOpened,
    StageProgress,
    StageResult,
    Stop,
)
from swarmnode.values.errors import PeerFault, SwarmnodeError, Unavailable
from swarmnode.values.layers import LayerRange

#: Inputs kept at each cut, in bytes.
REPLAY_BYTES = 64 << 20
#: Stages that one answer may lose.
MAX_LOSSES = 16
#: Seconds without any progress after which a stage counts as lost.
STALL_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What is wanted: the prompt's ids, how many tokens at most, and which tokens end it."""

    prompt: tuple[int, ...]
    max_tokens: int
    ends: frozenset[int]


@dataclass(slots=True)
class _Place:
    """One stage of the row. done: positions it has computed; sent: (first, count) under way."""

    layers: LayerRange
    inputs: KeptInputs
    state: Literal["empty", "opening", "open"] = "empty"
    stage: str = ""
    done: int = 0
    sent: tuple[int, int] | None = None
    heard: float = 0.0


class PipelineHead:
    """The machine. `ranges` cover the model in order; row_bytes: of one hidden row at a cut; chunk: rows
    of one step at most."""

    def __init__(
        self,
        answer: Answer,
        ranges: Sequence[LayerRange],
        *,
        row_bytes: int,
        chunk: int,
        replay_bytes: int = REPLAY_BYTES,
        stall_seconds: float = STALL_SECONDS,
        max_losses: int = MAX_LOSSES,
    ) -> None:
        self.epoch = 0
        self._answer = answer
        self._tokens = list(answer.prompt)
        self._capacity = len(answer.prompt) + answer.max_tokens
        self._places = [_Place(layers, KeptInputs(replay_bytes)) for layers in ranges]
        self._row_bytes = row_bytes
        self._chunk, self._stall, self._losses_left = chunk, stall_seconds, max_losses
        self._over = False

    @property
    def deadline(self) -> float | None:
        """When the first stage that is at work, or opening, counts as stalled."""
        waiting = [p.heard for p in self._places if p.state == "opening" or p.sent]
        return min(waiting) + self._stall if waiting and not self._over else None

    def handle(self, event: Any | None, now: float) -> list[Any]:
        """One event; returns effects. `Done` or `Abort` is the last."""
        if self._over:
            return self._too_late(event)
        if event is None:
            return self._find_stalled(now)
        return self._HANDLERS[type(event)](self, event, now)

    # Stages come and go.

    def _begin(self, _event: Begin, _now: float) -> list[Any]:
        return [NeedStage(i, place.layers, self.epoch) for i, place in enumerate(self._places)]

    def _new_stage(self, event: NewStage, now: float) -> list[Any]:
        place = self._places[event.index]
        if place.state != "empty":
            return []
        place.state, place.stage, place.heard = "opening", event.stage, now
        tokens = tuple(self._tokens) if place is self._places[-1] else None
        return [OpenSession(event.stage, self.epoch, place.layers, self._capacity, tokens)]

    def _no_stage(self, event: NoStage, _now: float) -> list[Any]:
        return self._abort(event.error)

    def _opened(self, event: StageOpened, now: float) -> list[Any]:
        place = self._place_of(event.stage)
        if place is None or place.state != "opening":
            return []
        place.state, place.heard = "open", now
        return self._feed(now)

    def _lost(self, event: StageLost, now: float) -> list[Any]:
        place = self._place_of(event.stage)
        return self._replace(place, event.error, now) if place else []

    def _replace(self, place: _Place, error: SwarmnodeError, now: float) -> list[Any]:
        """Raise the epoch; forget what the lost stage knew, and what is under way anywhere."""
        self._losses_left -= 1
        if self._losses_left < 0:
            return self._abort(_too_many_losses(error))
        self.epoch += 1
        for other in self._places:
            other.sent = None
        place.state, place.stage = "empty", ""
        index = self._places.index(place)
        self._rewind(index)
        return [NeedStage(index, place.layers, self.epoch), *self._feed(now)]

    def _rewind(self, index: int) -> None:
        """Have the stage compute from position 0 again, and those before it as far as its inputs are not
        kept."""
        place = self._places[index]
        place.done = 0
        if index and place.inputs.base > 0:
            place.inputs.restart()
            self._rewind(index - 1)

    def _find_stalled(self, now: float) -> list[Any]:
        for place in self._places:
            if (place.state == "opening" or place.sent) and now >= place.heard + self._stall:
                error = _stalled(place.layers, self._stall)
                return [DropStage(place.stage, error), *self._replace(place, error, now)]
        return []

    def _progress(self, event: StageProgress, now: float) -> list[Any]:
        if place := self._place_of(event.stage):
            place.heard = now
        return []

    # Rows flow.

    def _feed(self, now: float) -> list[Any]:
        """Send every idle stage the next rows whose inputs are there."""
        steps = [self._next_step(index, place, now) for index, place in enumerate(self._places)]
        return [step for step in steps if step is not None]

    def _next_step(self, index: int, place: _Place, now: float) -> SendStep | None:
        if place.state != "open" or place.sent or self._downstream_full(index):
            return None
        end = len(self._tokens) if index == 0 else place.inputs.end
        count = min(end - place.done, self._chunk)
        if count < 1:
            return None
        first = place.done
        place.sent, place.heard = (first, count), now
        tokens = tuple(self._tokens[first : first + count]) if index == 0 else None
        hidden = place.inputs.rows(first, count) if index else b""
        sample = place is self._places[-1] and first + count == len(self._tokens)
        return SendStep(place.stage, self.epoch, first, count, tokens, hidden, sample)

    def _downstream_full(self, index: int) -> bool:
        """Whether the next stage has more inputs waiting than may be kept: then this one rests."""
        following = self._places[index + 1 : index + 2]
        return any(place.inputs.full and place.done < place.inputs.end for place in following)

    def _result(self, event: StageResult, now: float) -> list[Any]:
        place = self._place_of(event.stage)
        if place is None or event.epoch != self.epoch or place.sent != (event.first, event.count):
            return []
        index = self._places.index(place)
        if fault := self._fault_of(index, event):
            return [DropStage(place.stage, fault), *self._replace(place, fault, now)]
        place.sent, place.heard = None, now
        place.done = event.first + event.count
        place.inputs.used(place.done)
        if index + 1 < len(self._places):
            self._places[index + 1].inputs.add(event.first, event.count, event.hidden)
            return self._feed(now)
        return self._drawn(event, now)

    def _fault_of(self, index: int, event: StageResult) -> PeerFault | None:
        last = index + 1 == len(self._places)
        at_end = event.first + event.count == len(self._tokens)
        if last and at_end and event.drawn is None:
            return _nonsense(self._places[index].layers, "drew no token")
        if not last and len(event.hidden) != event.count * self._row_bytes:
            return _nonsense(self._places[index].layers, f"sent {len(event.hidden)} bytes as rows")
        return None

    def _drawn(self, event: StageResult, now: float) -> list[Any]:
        drawn = event.drawn
        if drawn is None or event.first + event.count < len(self._tokens):
            return self._feed(now)
        if drawn.token in self._answer.ends:
            return self._finish("stop")
        self._tokens.append(drawn.token)
        if len(self._tokens) >= self._capacity:
            return [Deliver(drawn), *self._finish("length")]
        return [Deliver(drawn), *self._feed(now)]

    # Ends.

    def _stop(self, _event: Stop, _now: float) -> list[Any]:
        return self._finish("cancelled")

    def _finish(self, reason: str) -> list[Any]:
        return [*self._close_all(), Done(reason)]

    def _abort(self, error: SwarmnodeError) -> list[Any]:
        return [*self._close_all(), Abort(error)]

    def _close_all(self) -> list[Any]:
        self._over = True
        return [CloseSession(place.stage, self.epoch) for place in self._places if place.state != "empty"]

    def _too_late(self, event: Any | None) -> list[Any]:
        """A stage that is found after the end was not opened; one that opens late is closed."""
        return [CloseSession(event.stage, self.epoch)] if isinstance(event, StageOpened) else []

    def _place_of(self, stage: str) -> _Place | None:
        return next((p for p in self._places if p.stage == stage and p.state != "empty"), None)

    _HANDLERS: ClassVar[dict[type, Callable[[PipelineHead, Any, float], list[Any]]]] = {
        Begin: _begin,
        NewStage: _new_stage,
        NoStage: _no_stage,
        StageOpened: _opened,
        StageResult: _result,
        StageProgress: _progress,
        StageLost: _lost,
        Stop: _stop,
    }


def _stalled(layers: LayerRange, seconds: float) -> PeerFault:
    return PeerFault(
        f"The stage of layers {layers} made no progress for {seconds:.0f} s", code="stage_stalled"
    )


def _nonsense(layers: LayerRange, what: str) -> PeerFault:
    return PeerFault(f"The stage of layers {layers} {what}", code="stage_lied")


def _too_many_losses(last: SwarmnodeError) -> Unavailable:
    return Unavailable(
        f"Too many stages were lost during one answer; the last: {last.message}",
        code="pipeline_lost",
        hint="Try again; if it returns, run the model on fewer machines.",
    )
