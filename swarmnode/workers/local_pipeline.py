"""A pipeline whose stages are worker processes of this node: the head's machine, run over their links."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from swarmnode.driving.driver import Clock, Driver
from swarmnode.protocols.pipeline import vocabulary as words
from swarmnode.protocols.pipeline.head import PipelineHead
from swarmnode.protocols.worker.messages import Message
from swarmnode.protocols.worker.tokens import ids_bytes
from swarmnode.values.errors import LocalFault, SwarmnodeError
from swarmnode.values.layers import LayerRange

#: Faults of a stage that are no reason to give it up.
_STALE = frozenset({"old_epoch", "unknown_session"})

#: find(index, layers) is a Deferred of a worker that has loaded these layers.
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


class LocalPipeline:
    """Runs one answer. sampler: as `inference.stage_sessions` takes it, for the stage that draws.

    watch: told of every effect before it is carried out, with the worker it is for (None for others).
    """

    def __init__(
        self,
        clock: Clock,
        name: str,
        head: PipelineHead,
        find: Find,
        sampler: Mapping[str, Any],
        watch: Callable[[Any, Any], None] = lambda effect, worker: None,
    ) -> None:
        self._name, self._find, self._sampler, self._watch = name, find, dict(sampler), watch
        self._stages: dict[str, Any] = {}
        self._drawn: list[words.Drawn] = []
        self._result: Deferred[PipelineAnswer] = Deferred()
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
        """Begin; fires with the answer, or fails with a `SwarmnodeError`."""
        self._driver.post(words.Begin())
        return self._result

    def stop(self) -> None:
        """End it; what has come so far is the answer."""
        self._driver.post(words.Stop())

    def _need_stage(self, effect: words.NeedStage) -> None:
        def found(worker: Any) -> None:
            stage = f"{effect.index}/{worker.pid}"
            self._stages[stage] = worker
            worker.measured = lambda values: self._driver.post(words.StageProgress(stage))
            self._driver.post(words.NewStage(effect.index, stage))

        def not_found(failure: Failure) -> None:
            self._driver.post(words.NoStage(effect.index, _error(failure)))

        self._find(effect.index, effect.layers).addCallbacks(found, not_found)

    def _open(self, effect: words.OpenSession) -> None:
        header: dict[str, Any] = {"tokens": effect.capacity}
        payload = b""
        if effect.tokens is not None:
            header["sampler"], payload = self._sampler, ids_bytes(effect.tokens)
        self._ask(effect, "open_session", header, payload, lambda message: words.StageOpened(*_who(effect)))

    def _step(self, effect: words.SendStep) -> None:
        header: dict[str, Any] = {"first": effect.first, "count": effect.count, "sample": effect.sample}
        payload: words.Bytes
        if effect.tokens is not None:
            header |= {"dtype": "i4", "shape": [effect.count]}
            payload = ids_bytes(effect.tokens)
        else:
            header |= {"dtype": "f4", "shape": [effect.count, len(effect.hidden) // effect.count // 4]}
            payload = effect.hidden
        self._ask(effect, "step", header, payload, lambda message: _step_result(effect, message))

    def _close(self, effect: words.CloseSession) -> None:
        self._ask(effect, "close_session", {}, b"", lambda message: None)

    def _ask(
        self,
        effect: Any,
        kind: str,
        header: Mapping[str, Any],
        payload: words.Bytes,
        event: Callable[[Message], Any],
    ) -> None:
        """Ask the effect's stage; post the event made of its answer, or that it is lost."""
        worker = self._stages[effect.stage]
        self._watch(effect, worker)

        def failed(failure: Failure) -> None:
            error = _error(failure)
            if error.code not in _STALE:
                self._driver.post(words.StageLost(effect.stage, error))

        def answered(message: Message) -> None:
            if (made := event(message)) is not None:
                self._driver.post(made)

        asked = worker.call(kind, {**header, "session": self._name, "epoch": effect.epoch}, payload)
        asked.addCallback(answered).addErrback(failed)

    def _drop(self, effect: words.DropStage) -> None:
        self._watch(effect, self._stages[effect.stage])
        self._stages[effect.stage].kill()

    def _done(self, effect: words.Done) -> None:
        self._result.callback(PipelineAnswer(tuple(self._drawn), effect.reason))

    def _fail(self, error: SwarmnodeError) -> None:
        if not self._result.called:
            self._result.errback(error)


def _who(effect: Any) -> tuple[str, int]:
    return effect.stage, effect.epoch


def _step_result(effect: words.SendStep, message: Message) -> words.StageResult:
    header = message.header
    drawn = None
    if "token" in header:
        top = tuple((int(token), float(logprob)) for token, logprob in header["top"])
        drawn = words.Drawn(int(header["token"]), header["logprob"], top)
    return words.StageResult(*_who(effect), effect.first, effect.count, message.payload, drawn)


def _error(failure: Failure) -> SwarmnodeError:
    error = failure.value
    if isinstance(error, SwarmnodeError):
        return error
    return LocalFault(f"{type(error).__name__}: {error}", code="internal_error")
