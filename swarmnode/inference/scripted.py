"""A back end without weights: it says what its options tell it to, token by token.

For tests, benchmarks and the simulator; the text of an answer is known before it begins. Options:

    say                the text (default: a sentence)
    echo               true: repeat the last user message, or the raw prompt, word by word
    tokens_per_second  of each choice; 0 or absent for no limit
    events             encoded events (`protocols.worker.events`) to emit instead of a text
    context            the context length it claims (default 8192)
    load_seconds       how long loading takes
    fault              {"kind": K, "after": N}: after N tokens of a request `error` fails it, `exception`
                       breaks the engine, `crash` kills the process, `hang` never returns; `load` fails
                       the loading itself
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from zope.interface import implementer

from swarmnode.interfaces.inference_backend import IEngine, IPromptText
from swarmnode.protocols.worker.events import decode_event
from swarmnode.values.errors import LocalFault, Refused
from swarmnode.values.generation import (
    ChoiceFinished,
    Conversation,
    Failed,
    Finished,
    GenerationEvent,
    GenerationRequest,
    Prompt,
    RawText,
    Started,
    TextDelta,
    TokenIds,
    TokenLogprob,
    Usage,
)
from swarmnode.values.loading import LoadSpec

SENTENCE = "This is the scripted back end: it says what it was told to say."
#: Longest rest in one step, so that cancels and new requests are seen soon.
_REST_SECONDS = 0.02
_HANG_SECONDS = 3600.0

Emit = Callable[[GenerationEvent], None]


#: Parts of a load that takes its time: so often is told how far it is.
LOAD_PARTS = 20


def make_engine(
    spec: LoadSpec, progress: Callable[[int, int], None] = lambda _done, _total: None
) -> ScriptedEngine:
    """The back end's factory."""
    options = spec.options
    for part in range(LOAD_PARTS):
        progress(part, LOAD_PARTS)
        time.sleep(float(options.get("load_seconds", 0)) / LOAD_PARTS)
    if options.get("fault", {}).get("kind") == "load":
        raise LocalFault("The scripted back end was told not to load", code="scripted_fault")
    return ScriptedEngine(options)


@dataclass(slots=True)
class _Answer:
    """One request: the events still to come, and when the next one is due."""

    emit: Emit
    events: Iterator[GenerationEvent]
    due: float
    paused: bool = False
    said: int = field(default=0)


@implementer(IEngine, IPromptText)
class ScriptedEngine:
    """The engine. `clock` and `rest` are `time.monotonic` and `time.sleep` outside of tests."""

    def __init__(
        self,
        options: Mapping[str, Any],
        clock: Callable[[], float] = time.monotonic,
        rest: Callable[[float], None] = time.sleep,
    ) -> None:
        self._options, self._clock, self._rest = options, clock, rest
        rate = float(options.get("tokens_per_second", 0))
        self._interval = 1.0 / rate if rate else 0.0
        self._context = int(options.get("context", 8192))
        self._fault: Mapping[str, Any] = options.get("fault", {})
        self._answers: dict[int, _Answer] = {}
        self._next = 0

    def describe(self) -> dict[str, Any]:
        """As `IEngine` says."""
        return {
            "profile": "scripted",
            "context_length": self._context,
            "layers": 0,
            "resident_bytes": 0,
            "eos_ids": [],
        }

    # Text: every word, with the white space before it, is a token.

    def prepare(self, request: GenerationRequest) -> GenerationRequest:
        """Nothing is to be prepared; a prompt of too many words is refused, as everywhere."""
        count = _length(request.prompt)
        if count > self._context:
            raise Refused(
                f"The prompt has {count} tokens, but the context holds {self._context}",
                code="context_length_exceeded",
                param="messages",
            )
        return request

    def tokenize(self, prompt: Prompt) -> tuple[int, ...]:
        """One id a word: the code point of its first letter."""
        if isinstance(prompt, TokenIds):
            return prompt.ids
        return tuple(ord(word[0]) for word in _words(_text_of(prompt)))

    def detokenize(self, ids: tuple[int, ...]) -> str:
        """The letters of the ids."""
        return "".join(map(chr, ids))

    # Requests.

    def submit(self, request: GenerationRequest, emit: Emit) -> int:
        """As `IEngine` says."""
        self._next += 1
        self._answers[self._next] = _Answer(emit, self._script(request), self._clock())
        return self._next

    def cancel(self, slot: int) -> None:
        """As `IEngine` says."""
        self._answers.pop(slot, None)

    def pause(self, slot: int) -> None:
        """As `IEngine` says."""
        if slot in self._answers:
            self._answers[slot].paused = True

    def resume(self, slot: int) -> None:
        """As `IEngine` says."""
        if slot in self._answers:
            self._answers[slot].paused = False

    def step(self) -> bool:
        """One event for every answer that is due; rests a little when none is."""
        runnable = [(slot, answer) for slot, answer in self._answers.items() if not answer.paused]
        now = self._clock()
        due = [(slot, answer) for slot, answer in runnable if answer.due <= now]
        for slot, answer in due:
            self._say(slot, answer)
        if runnable and not due:
            self._rest(min(_REST_SECONDS, min(answer.due for _, answer in runnable) - now))
        return any(not answer.paused for answer in self._answers.values())

    def close(self) -> None:
        """As `IEngine` says."""
        self._answers.clear()

    def _say(self, slot: int, answer: _Answer) -> None:
        if self._fault and answer.said >= int(self._fault.get("after", 0)):
            self._go_wrong(slot, answer)
            return
        event = next(answer.events)
        answer.emit(event)
        if isinstance(event, TextDelta):
            answer.said += 1
            answer.due += self._interval
        elif isinstance(event, Finished | Failed):
            self._answers.pop(slot, None)

    def _go_wrong(self, slot: int, answer: _Answer) -> None:
        kind = self._fault["kind"]
        if kind == "error":
            del self._answers[slot]
            answer.emit(Failed(LocalFault("The scripted back end was told to fail", code="scripted_fault")))
        elif kind == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        elif kind == "hang":
            self._rest(_HANG_SECONDS)
        else:
            raise RuntimeError("the scripted back end was told to raise")

    def _script(self, request: GenerationRequest) -> Iterator[GenerationEvent]:
        prompt_tokens = _length(request.prompt)
        seed = request.sampling.seed or 0
        yield Started(request.model, prompt_tokens, 0, seed, "scripted")
        if "events" in self._options:
            yield from map(decode_event, self._options["events"])
            return
        total = 0
        for choice in range(request.n):
            for event in self._one_choice(request, choice):
                total += isinstance(event, TextDelta)
                yield event
        yield Finished(Usage(prompt_tokens, total, 0))

    def _one_choice(self, request: GenerationRequest, choice: int) -> Iterator[GenerationEvent]:
        text = _text_of(request.prompt) if self._options.get("echo") else self._options.get("say", SENTENCE)
        text, stop = _cut_at_stop(text, request.stop)
        words = _words(text)
        limit = len(words) if request.max_tokens is None else request.max_tokens
        for word in words[:limit]:
            logprobs = () if request.logprobs is None else (_logprob(word, request.logprobs),)
            yield TextDelta(choice, word, (ord(word[0]),), logprobs)
        cut = limit < len(words)
        yield ChoiceFinished(choice, "length" if cut else "stop", None if cut else stop)


def _logprob(word: str, alternatives: int) -> TokenLogprob:
    chosen = TokenLogprob(ord(word[0]), word.encode(), -0.25)
    others = tuple(TokenLogprob(i, b"?", -1.0 - i) for i in range(1, alternatives))
    return replace(chosen, top=(chosen, *others)[:alternatives])


def _cut_at_stop(text: str, stops: tuple[str, ...]) -> tuple[str, str | None]:
    found = [(text.index(stop), stop) for stop in stops if stop in text]
    if not found:
        return text, None
    where, stop = min(found)
    return text[:where], stop


def _words(text: str) -> list[str]:
    return re.findall(r"\s*\S+|\s+$", text)


def _length(prompt: Prompt) -> int:
    return len(prompt.ids) if isinstance(prompt, TokenIds) else len(_text_of(prompt).split())


def _text_of(prompt: Prompt) -> str:
    if isinstance(prompt, Conversation):
        turns = [m.content for m in prompt.messages if m.role == "user"]
        return turns[-1] if turns else ""
    return prompt.text if isinstance(prompt, RawText) else "".join(map(chr, prompt.ids))
