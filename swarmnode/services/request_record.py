"""What is measured of one request, and the summary that is written when it is over."""

from __future__ import annotations

from dataclasses import dataclass

from swarmnode.values.generation import (
    Failed,
    Finished,
    GenerationEvent,
    GenerationRequest,
    ReasoningDelta,
    Started,
    TextDelta,
    Timings,
    ToolCallDelta,
)


@dataclass(frozen=True, slots=True)
class RequestSummary:
    """One request in figures; None is "not measured", never 0. Times in milliseconds."""

    request_id: str
    model: str
    route: str
    outcome: str
    error_type: str | None
    queue_ms: float | None
    ttft_ms: float | None
    decode_ms: float | None
    total_ms: float
    prompt_tokens: int | None
    tokens: int | None
    tok_per_sec: float | None
    cached_tokens: int | None = None


class RequestRecord:
    """Collects the moments of one request. Every `now` is monotonic seconds."""

    def __init__(self, request: GenerationRequest, now: float) -> None:
        self._request_id = request.request_id
        self._model = request.model
        self._arrived = now
        self._begun: float | None = None
        self._first: float | None = None
        self._last: float | None = None
        self._prompt_tokens: int | None = None
        self._tokens: int | None = None
        self._cached_tokens: int | None = None
        self._seen = 0
        self._outcome = "error"
        self._error: str | None = None

    def started(self, now: float, model: str) -> None:
        """It left the queue."""
        self._begun, self._model = now, model

    def saw(self, event: GenerationEvent, now: float) -> None:
        """Take note of an event on its way to the client."""
        if isinstance(event, TextDelta | ReasoningDelta | ToolCallDelta):
            self._first = now if self._first is None else self._first
            self._last = now
            self._seen += len(event.token_ids) if isinstance(event, TextDelta) else 1
        elif isinstance(event, Started):
            self._prompt_tokens, self._cached_tokens = event.prompt_tokens, event.cached_tokens
        elif isinstance(event, Finished):
            self._outcome, self._tokens = "ok", event.usage.completion_tokens
            self._prompt_tokens = event.usage.prompt_tokens
        elif isinstance(event, Failed):
            self._error = event.error.code

    def cancelled(self) -> None:
        """The client went away."""
        self._outcome = "cancelled"

    def timings(self) -> Timings:
        """Queue, prefill and decode times so far."""
        return Timings(
            queue_ms=_ms(self._arrived, self._begun),
            prefill_ms=_ms(self._begun, self._first),
            decode_ms=_ms(self._first, self._last),
        )

    def summary(self, now: float) -> RequestSummary:
        """The figures, at the end."""
        decode = _ms(self._first, self._last)
        tokens = self._tokens if self._tokens is not None else (self._seen or None)
        # The first token belongs to the prompt's time, so n tokens took n - 1 steps of decoding.
        speed = (tokens - 1) / decode * 1000 if tokens and tokens > 1 and decode else None
        return RequestSummary(
            request_id=self._request_id,
            model=self._model,
            route="local",
            outcome=self._outcome,
            error_type=self._error,
            queue_ms=_ms(self._arrived, self._begun),
            ttft_ms=_ms(self._arrived, self._first),
            decode_ms=decode,
            total_ms=(now - self._arrived) * 1000,
            prompt_tokens=self._prompt_tokens,
            tokens=tokens,
            tok_per_sec=speed,
            cached_tokens=self._cached_tokens,
        )


def _ms(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else (end - start) * 1000
