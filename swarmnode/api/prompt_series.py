"""Several prompts in one request: run one after the other, and told as one stream of events."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any

from zope.interface import implementer

from swarmnode.driving.steering import Steering
from swarmnode.interfaces.generation import IEventSink, IGeneration
from swarmnode.values.generation import (
    ChoiceFinished,
    Failed,
    Finished,
    GenerationEvent,
    GenerationRequest,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
)


@implementer(IEventSink, IGeneration)
class PromptSeries:
    """Choice `c` of prompt `p` becomes choice `p * n + c`; usage is summed; the first failure ends all.

    One at a time: a client with many prompts takes one place among the requests, not many.
    """

    def __init__(self, core: Any, requests: tuple[GenerationRequest, ...], sink: Any) -> None:
        self._core = core
        self._waiting = deque(requests)
        self._n = requests[0].n
        self._sink = sink
        self._first_choice = -self._n
        self._usage = Usage()
        self._steering = Steering()
        self._idle = True
        self._over = False
        self._submitting = False
        self._started = False

    def start(self) -> PromptSeries:
        """Begin; events may come before this returns."""
        self._go_on()
        return self

    def event(self, event: GenerationEvent) -> None:
        if self._over:
            return
        if isinstance(event, Started):
            if not self._started:
                self._started = True
                self._sink.event(event)
        elif isinstance(event, Finished):
            self._one_finished(event)
        elif isinstance(event, Failed):
            self._over = True
            self._sink.event(event)
        else:
            self._sink.event(self._moved(event))

    def pause(self) -> None:
        self._steering.pause()

    def resume(self) -> None:
        self._steering.resume()

    def cancel(self) -> None:
        self._over = True
        self._steering.cancel()

    def _go_on(self) -> None:
        """Submit the next. A loop, not a recursion: a prompt may be answered before `submit` returns."""
        if self._submitting:
            return
        self._submitting = True
        while self._waiting and self._idle and not self._over:
            self._idle = False
            self._first_choice += self._n
            generation = self._core.submit(self._waiting.popleft(), self)
            if not self._idle:
                self._steering.attach(generation)
        self._submitting = False

    def _one_finished(self, event: Finished) -> None:
        self._usage = Usage(
            self._usage.prompt_tokens + event.usage.prompt_tokens,
            self._usage.completion_tokens + event.usage.completion_tokens,
            self._usage.cached_tokens + event.usage.cached_tokens,
        )
        self._idle = True
        self._steering.release()
        if self._waiting:
            self._go_on()
        else:
            self._over = True
            self._sink.event(Finished(self._usage))

    def _moved(self, event: Any) -> GenerationEvent:
        moved: TextDelta | ReasoningDelta | ToolCallDelta | ChoiceFinished = replace(
            event, choice=event.choice + self._first_choice
        )
        return moved
