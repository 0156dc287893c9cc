"""A pipeline: the head's machine, run over stages wherever they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from swarmnode.driving.driver import Clock, Driver
from swarmnode.protocols.pipeline import vocabulary as words
from swarmnode.protocols.pipeline.head import PipelineHead
from swarmnode.values.errors import LocalFault, SwarmnodeError
from swarmnode.values.layers import LayerRange

#: Faults of a stage that are no reason to give it up.
_STALE = frozenset({"old_epoch", "unknown_session"})


class StageHandle(Protocol):
    """One session on one stage: a worker of this node, or another node."""

    #: Set by who uses it; to be called whenever the stage shows that it is at work.
    heard: Callable[[], None]

    def open(self, opening: words.OpenSession, sampler: words.Sampler) -> Deferred[Any]:
        """Make room; fires when there is some. sampler: for the stage that samples (`opening.tokens`)."""

    def step(self, step: words.SendStep) -> Deferred[words.StageResult]:
        """Compute rows. Fails with a `SwarmnodeError`."""

    def close(self) -> None:
        """The session is over."""

    def drop(self, error: SwarmnodeError) -> None:
        """The stage hangs or lied."""


#: find(index, layers) is a Deferred of a stage with these layers.
Find = Callable[[int, LayerRange], Deferred[Any]]


@dataclass(frozen=True, slots=True)
class PipelineAnswer:
    """The tokens of an answer, and why it ended."""

    drawn: tuple[words.Drawn, ...]
    reason: str

    @property
    def ids(self) -> tuple[int, ...]:
        """The token ids."""
        return tuple(one.token for one in self.drawn)


class Pipeline:
    """Runs one answer. sampler: for the stage that draws.

    watch: told of every effect for a stage before it is carried out, with the stage.
    """

    def __init__(
        self,
        clock: Clock,
        name: str,
        head: PipelineHead,
        find: Find,
        sampler: words.Sampler,
        watch: Callable[[Any, StageHandle], None] = lambda effect, stage: None,
    ) -> None:
        self._find, self._sampler, self._watch = find, sampler, watch
        self._stages: dict[str, StageHandle] = {}
        self._numbers = count()
        self._drawn: list[words.Drawn] = []
        self._result: Deferred[PipelineAnswer] = Deferred(lambda _: self.stop())
        executors: dict[type, Callable[[Any], None]] = {
            words.NeedStage: self._need_stage,
            words.OpenSession: self._open,
            words.SendStep: self._step,
            words.CloseSession: self._close,
            words.DropStage: self._drop,
            words.Deliver: lambda effect: self._drawn.append(effect.drawn),
            words.Done: self._done,
            words.Abort: lambda effect: self._fail(effect.error),
        }
        self._driver = Driver(f"pipeline {name}", head, clock, executors, self._fail)

    def run(self) -> Deferred[PipelineAnswer]:
        """Begin; fires with the answer, or fails with a `SwarmnodeError`. Cancelling is as `stop`."""
        self._driver.post(words.Begin())
        return self._result

    def stop(self) -> None:
        """End it; what has come so far is the answer."""
        self._driver.post(words.Stop())

    def _need_stage(self, effect: words.NeedStage) -> None:
        def found(stage: StageHandle) -> None:
            if self._result.called:
                stage.close()
                return
            name = f"{effect.index}/{next(self._numbers)}"
            self._stages[name] = stage
            stage.heard = lambda: self._driver.post(words.StageProgress(name))
            self._driver.post(words.NewStage(effect.index, name))

        def not_found(failure: Failure) -> None:
            self._driver.post(words.NoStage(effect.index, _error(failure)))

        self._find(effect.index, effect.layers).addCallbacks(found, not_found)

    def _open(self, effect: words.OpenSession) -> None:
        stage = self._told(effect)
        opened = stage.open(effect, self._sampler)
        self._follow(effect, opened, lambda _: words.StageOpened(effect.stage, effect.epoch))

    def _step(self, effect: words.SendStep) -> None:
        self._follow(effect, self._told(effect).step(effect), lambda result: result)

    def _close(self, effect: words.CloseSession) -> None:
        self._told(effect).close()

    def _drop(self, effect: words.DropStage) -> None:
        self._told(effect).drop(effect.error)

    def _told(self, effect: Any) -> StageHandle:
        stage = self._stages[effect.stage]
        self._watch(effect, stage)
        return stage

    def _follow(self, effect: Any, asked: Deferred[Any], event: Callable[[Any], Any]) -> None:
        """Post the event made of the stage's answer, or that the stage is lost."""

        def failed(failure: Failure) -> None:
            error = _error(failure)
            if error.code not in _STALE:
                self._stages[effect.stage].close()
                self._driver.post(words.StageLost(effect.stage, error))

        asked.addCallbacks(lambda answer: self._driver.post(event(answer)), failed)

    def _done(self, effect: words.Done) -> None:
        if not self._result.called:
            self._result.callback(PipelineAnswer(tuple(self._drawn), effect.reason))

    def _fail(self, error: SwarmnodeError) -> None:
        if not self._result.called:
            self._result.errback(error)


def _error(failure: Failure) -> SwarmnodeError:
    error = failure.value
    if isinstance(error, SwarmnodeError):
        return error
    return LocalFault(f"{type(error).__name__}: {error}", code="internal_error")
