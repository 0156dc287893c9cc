"""A session of a pipeline on a worker of this node: the stage's words as messages of its link."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred

from swarmnode.protocols.pipeline.vocabulary import Bytes, Drawn, OpenSession, Sampler, SendStep, StageResult
from swarmnode.protocols.worker.messages import Message
from swarmnode.protocols.worker.tokens import ids_bytes
from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.generation import sampling_as_dict

#: Asks the worker a question of its link: kind, header, payload.
Call = Callable[[str, Mapping[str, Any], Bytes], Deferred[Message]]


class WorkerStage:
    """A `driving.pipeline.StageHandle`. name: of the session, which the worker has once. dropped: called when
    the stage hangs or lied."""

    def __init__(self, call: Call, name: str, dropped: Callable[[], None]) -> None:
        self.heard: Callable[[], None] = lambda: None
        self._call, self._name, self._dropped = call, name, dropped
        self._epoch = 0

    def open(self, opening: OpenSession, sampler: Sampler) -> Deferred[Message]:
        """As `StageHandle`."""
        header: dict[str, Any] = {"tokens": opening.capacity}
        payload = b""
        if opening.tokens is not None:
            header["sampler"], payload = _sampler(sampler), ids_bytes(opening.tokens)
        return self._ask("open_session", opening.epoch, header, payload)

    def step(self, step: SendStep) -> Deferred[StageResult]:
        """As `StageHandle`."""
        header: dict[str, Any] = {"first": step.first, "count": step.count, "sample": step.sample}
        payload: Bytes
        if step.tokens is not None:
            header |= {"dtype": "i4", "shape": [step.count]}
            payload = ids_bytes(step.tokens)
        else:
            header |= {"dtype": "f4", "shape": [step.count, len(step.hidden) // step.count // 4]}
            payload = step.hidden
        asked = self._ask("step", step.epoch, header, payload)
        return asked.addCallback(lambda message: _result(step, message))

    def close(self) -> None:
        """As `StageHandle`."""
        self._ask("close_session", self._epoch, {}, b"").addErrback(lambda failure: None)

    def drop(self, error: SwarmnodeError) -> None:
        """As `StageHandle`."""
        self._dropped()

    def _ask(self, kind: str, epoch: int, header: Mapping[str, Any], payload: Bytes) -> Deferred[Message]:
        self._epoch = epoch
        return self._call(kind, {**header, "session": self._name, "epoch": epoch}, payload)


def _sampler(sampler: Sampler) -> dict[str, Any]:
    return {
        "sampling": sampling_as_dict(sampler.sampling),
        "seed": sampler.seed,
        "choice": sampler.choice,
        "logprobs": sampler.logprobs,
        "prompt": sampler.prompt,
    }


def _result(step: SendStep, message: Message) -> StageResult:
    header = message.header
    drawn = None
    if "token" in header:
        top = tuple((int(token), float(logprob)) for token, logprob in header["top"])
        drawn = Drawn(int(header["token"]), header["logprob"], top)
    return StageResult(step.stage, step.epoch, step.first, step.count, message.payload, drawn)
