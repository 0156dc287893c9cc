"""The worker's text thread: templates and tokenizers, off the engine thread.

A prompt of megabytes takes a tokenizer seconds; meanwhile the engine goes on with other requests.
"""

from __future__ import annotations

import json
import threading
import traceback
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from swarmnode.inference.engine_loop import EngineLoop, answer_to
from swarmnode.protocols.worker.messages import Message
from swarmnode.protocols.worker.tokens import ids_bytes, ids_from
from swarmnode.protocols.worker.vocabulary import Answer
from swarmnode.values.errors import LocalFault, Refused, SwarmnodeError
from swarmnode.values.generation import GenerationRequest, request_from_dict


class TextLoop:
    """Prepares requests and answers questions about text, one at a time, in their order.

    What waits is bounded by the link's bounds on requests and calls.
    """

    def __init__(self, engine: EngineLoop, post: Callable[[Any], None]) -> None:
        self._engine, self._post = engine, post
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def start(self) -> None:
        """Begin, on a thread of its own."""
        threading.Thread(target=self._run, name="text", daemon=True).start()

    def prepare(self, slot: int, payload: Any) -> None:
        """Read a request, turn its prompt into tokens, hand it to the engine."""
        self._jobs.put(lambda: self._prepare(slot, payload))

    def ask(self, question: Message) -> None:
        """Answer `tokenize` or `detokenize`."""
        self._jobs.put(lambda: self._post(Answer(answer_to(question, self._answer))))

    def _run(self) -> None:
        while True:
            self._jobs.get()()

    def _prepare(self, slot: int, payload: Any) -> None:
        prepared: GenerationRequest | SwarmnodeError
        try:
            request = request_from_dict(json.loads(bytes(payload)))
            prepared = self._engine.text.prepare(request) if self._engine.text else request
        except SwarmnodeError as error:
            prepared = error
        except Exception as error:
            traceback.print_exc()
            prepared = _text_fault(error)
        self._engine.call(lambda: self._engine.submit(slot, prepared))

    def _answer(self, question: Message) -> tuple[dict[str, Any], Any]:
        text = self._engine.text
        if text is None:
            raise Refused("This back end has no tokenizer", code="no_text")
        if question.kind == "detokenize":
            return {}, text.detokenize(ids_from(question.payload)).encode("utf-8", "surrogatepass")
        request = request_from_dict(json.loads(bytes(question.payload)))
        return {}, ids_bytes(text.tokenize(request.prompt))


def _text_fault(error: Exception) -> SwarmnodeError:
    if isinstance(error, MemoryError):
        return LocalFault(
            "The prompt needs more memory than the worker may use",
            code="out_of_memory",
            hint="Send a shorter prompt.",
        )
    return LocalFault(
        f"The prompt could not be prepared: {type(error).__name__}: {error}", code="engine_failed"
    )
