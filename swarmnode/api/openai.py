"""The OpenAI dialect: chat completions and text completions over the one response core."""

from __future__ import annotations

import time
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from swarmnode.api.body import BodyReader
from swarmnode.api.openai_completions import CompletionAnswer, CompletionStream
from swarmnode.api.openai_events import AnswerMeta, ChatAnswer, ChatStream
from swarmnode.api.openai_fields import Call, chat_call, completion_call
from swarmnode.api.prompt_series import PromptSeries
from swarmnode.api.replies import reply_json
from swarmnode.api.routing import Router
from swarmnode.api.sse import Chunks, CollectedAnswer, Collector, StreamedAnswer
from swarmnode.interfaces.generation import IEventSink
from swarmnode.values.errors import Refused, error_from_dict
from swarmnode.values.generation import Failed, GenerationEvent
from swarmnode.values.settings import ApiSettings, ServingSettings

PROMPT_FIELDS = ("messages", "prompt")


class OpenAiRoutes:
    """core: `IResponseCore`."""

    def __init__(
        self, core: Any, clock: Any, settings: ApiSettings, serving: ServingSettings, bodies: BodyReader
    ) -> None:
        self._core = core
        self._clock = clock
        self._bodies = bodies
        self._settings = settings
        self._serving = serving

    def add_to(self, router: Router) -> None:
        """Add the routes."""
        router.add("POST", "/v1/chat/completions", self.chat)
        router.add("POST", "/v1/completions", self.complete)
        router.add("POST", "/v1/embeddings", self.embed)

    def chat(self, request: Any) -> Deferred[Any]:
        """CreateChatCompletion."""
        answer_id = f"chatcmpl-{request.request_id}"
        reading = self._bodies.read(request, lambda body: chat_call(body, answer_id, self._serving))
        return reading.addCallback(lambda call: self._chat(request, call, _meta(call, answer_id)))

    def complete(self, request: Any) -> Deferred[Any]:
        """CreateCompletion."""
        answer_id = f"cmpl-{request.request_id}"
        reading = self._bodies.read(request, lambda body: completion_call(body, answer_id, self._serving))
        return reading.addCallback(lambda call: self._complete(request, call, _meta(call, answer_id)))

    def _chat(self, request: Any, call: Call, meta: AnswerMeta) -> Deferred[Any]:
        if call.stream:
            return self._stream(request, call, ChatStream(meta), "messages")
        return self._collect(request, call, ChatAnswer(meta), "messages")

    def _complete(self, request: Any, call: Call, meta: AnswerMeta) -> Deferred[Any]:
        echoes = tuple(text for text in call.echoes for _ in range(call.requests[0].n))
        if call.stream:
            return self._stream(request, call, CompletionStream(meta, echoes), "prompt")
        return self._collect(request, call, CompletionAnswer(meta, echoes), "prompt")

    def embed(self, request: Any) -> bytes:
        """CreateEmbedding: not yet."""
        raise Refused(
            "Embeddings (/v1/embeddings) are not built in this version",
            code="not_built_yet",
            hint="Use another provider for embeddings until then.",
        )

    def _stream(self, request: Any, call: Call, chunks: Chunks, prompt: str) -> Deferred[None]:
        sink = StreamedAnswer(request, chunks, self._clock, self._settings.idle_timeout_seconds)
        sink.attach(self._submit(call, _PromptNamed(sink, prompt)))
        return sink.done

    def _collect(self, request: Any, call: Call, collector: Collector, prompt: str) -> Deferred[Any]:
        sink = CollectedAnswer(request, collector)
        sink.attach(self._submit(call, _PromptNamed(sink, prompt)))
        return sink.done.addCallback(lambda answer: reply_json(request, answer))

    def _submit(self, call: Call, sink: Any) -> Any:
        if len(call.requests) == 1:
            return self._core.submit(call.requests[0], sink)
        return PromptSeries(self._core, call.requests, sink).start()


@implementer(IEventSink)
class _PromptNamed:
    """Passes events on; an error about the prompt names the field that held it in this dialect."""

    def __init__(self, sink: Any, prompt: str) -> None:
        self._sink = sink
        self._prompt = prompt

    def event(self, event: GenerationEvent) -> None:
        if isinstance(event, Failed) and event.error.param in PROMPT_FIELDS:
            event = Failed(error_from_dict(event.error.as_dict() | {"param": self._prompt}))
        self._sink.event(event)


def _meta(call: Call, answer_id: str) -> AnswerMeta:
    first = call.requests[0]
    return AnswerMeta(
        answer_id=answer_id,
        created=int(time.time()),
        n=first.n * len(call.requests),
        include_usage=call.include_usage,
        logprobs=first.logprobs is not None,
    )
