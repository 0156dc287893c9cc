"""The worker's engine thread: an engine, what it is asked to do, and one step after another."""

from __future__ import annotations

import inspect
import traceback
from collections import deque
from collections.abc import Callable
from importlib import import_module
from threading import Condition
from typing import Any

from swarmnode.interfaces.inference_backend import IPromptText, IStageCalls
from swarmnode.protocols.worker.events import ends
from swarmnode.protocols.worker.messages import ANSWERS, CREDIT, Message, json_bytes
from swarmnode.protocols.worker.vocabulary import Answer, Broken, Emitted, EngineFailed, EngineLoaded
from swarmnode.values.errors import LocalFault, Refused, SwarmnodeError
from swarmnode.values.generation import Failed, GenerationEvent, GenerationRequest
from swarmnode.values.loading import LoadSpec

#: An idle engine is stepped this often, so that it can let go of what has expired.
HOUSEKEEPING_SECONDS = 10.0


class EngineLoop:
    """Owns the engine. `call` may be used from any thread; all else happens on the thread of `run`."""

    def __init__(self, post: Callable[[Any], None]) -> None:
        self._post = post
        self._work: deque[Callable[[], None]] = deque()
        self._changed = Condition()
        self._engine: Any = None
        self._emitted: list[tuple[int, GenerationEvent]] = []
        self._expected: set[int] = set()
        self._slots: dict[int, int] = {}
        self._credit: dict[int, int] = {}
        self._dry: set[int] = set()
        self._busy = False
        self._quit = False
        self.text: Any = None
        self._steps = 0
        #: What became of the engine's shared prompts by the last step; any thread may read it.
        self.prefix_cache: dict[str, int] = {}
        #: What the engine had to do at its last step; any thread may read it.
        self.load_now: dict[str, int] = {}
        self._loading: tuple[int, int] | None = None

    @property
    def loading(self) -> float | None:
        """The part of the weights that is loaded, 0 to 1, as far as the engine's factory tells; None when
        nothing is being loaded. Any thread."""
        told = self._loading
        return None if told is None or told[1] <= 0 else min(1.0, told[0] / told[1])

    def _told(self, done: int, total: int) -> None:
        self._loading = done, total

    @property
    def progress(self) -> int:
        """Counts up while work is done: the engine's own count (of layers), else of steps. Any thread."""
        return int(getattr(self._engine, "progress", self._steps))

    def call(self, work: Callable[[], None]) -> None:
        """Have something done between two steps."""
        with self._changed:
            self._work.append(work)
            self._changed.notify()

    def stop(self) -> None:
        """Let `run` return after the present step."""
        self._quit = True
        self.call(lambda: None)

    def run(self) -> None:
        """Do what is asked and step the engine, until `stop`. A step that raises breaks the worker."""
        while not self._quit:
            with self._changed:
                if not self._work and not self._busy:
                    self._changed.wait(HOUSEKEEPING_SECONDS)
            while self._work:
                self._work.popleft()()
            try:
                self._step()
            except Exception as error:
                traceback.print_exc()
                self._post(Broken(_engine_fault(error)))
                return

    def _step(self) -> None:
        if self._engine is not None:
            self._busy = bool(self._engine.step())
            self._steps += bool(self._emitted or self._busy)
            if count := getattr(self._engine, "prefix_counts", None):
                self.prefix_cache = count()
            if count := getattr(self._engine, "load_counts", None):
                self.load_now = count()
            self._flush()

    def _flush(self) -> None:
        if self._emitted:
            self._stop_dry_slots()
            events, self._emitted = tuple(self._emitted), []
            self._post(Emitted(events))

    # What is asked; each runs on the engine thread.

    def load(self, spec: LoadSpec, factory: str) -> None:
        """Make the engine."""
        try:
            engine = self._made(find(factory), spec)
            description = dict(engine.describe())
        except SwarmnodeError as error:
            self._post(EngineFailed(error))
        except MemoryError:
            self._post(EngineFailed(_out_of_memory(f"loading {spec.label}")))
        except Exception as error:
            traceback.print_exc()
            self._post(EngineFailed(_engine_fault(error)))
        else:
            self._loading = None
            self._engine = engine
            self.text = engine if IPromptText.providedBy(engine) else None
            self._post(EngineLoaded(description))

    def _made(self, make: Callable[..., Any], spec: LoadSpec) -> Any:
        if "progress" in inspect.signature(make).parameters:
            return make(spec, progress=self._told)
        return make(spec)

    def expect(self, slot: int) -> None:
        """The text thread prepares this slot's request."""
        self._expected.add(slot)

    def submit(self, slot: int, request: GenerationRequest | SwarmnodeError) -> None:
        """Start a prepared request, or fail one that could not be prepared."""
        if slot not in self._expected:
            return  # cancelled while it was prepared
        self._expected.discard(slot)
        try:
            if isinstance(request, SwarmnodeError):
                raise request
            self._credit[slot] = CREDIT
            self._slots[slot] = self._engine.submit(request, lambda event: self._emit(slot, event))
            self._busy = True
        except SwarmnodeError as error:
            self._emit(slot, Failed(error))
        except Exception as error:
            traceback.print_exc()
            self._emit(slot, Failed(_engine_fault(error)))
        self._flush()

    def _emit(self, slot: int, event: GenerationEvent) -> None:
        self._emitted.append((slot, event))
        if slot in self._credit:
            self._credit[slot] -= 1
        if ends(event):
            self._forget(slot)

    def _forget(self, slot: int) -> int | None:
        """The engine's number of a slot that is over, if it had one."""
        self._credit.pop(slot, None)
        self._dry.discard(slot)
        return self._slots.pop(slot, None)

    def cancel(self, slot: int) -> None:
        """Forget a slot."""
        self._expected.discard(slot)
        if (number := self._forget(slot)) is not None:
            self._engine.cancel(number)

    def add_credit(self, slot: int, count: int) -> None:
        """Let a slot emit so many events more; go on with it if it had to stop."""
        if slot not in self._credit:
            return
        self._credit[slot] += count
        if slot in self._dry and self._credit[slot] > 0:
            self._dry.discard(slot)
            self._engine.resume(self._slots[slot])
            self._busy = True

    def _stop_dry_slots(self) -> None:
        """Pause the slots that have emitted all they may."""
        for slot in {slot for slot, _event in self._emitted}:
            if slot in self._slots and self._credit[slot] <= 0 and slot not in self._dry:
                self._dry.add(slot)
                self._engine.pause(self._slots[slot])

    def stage_call(self, question: Message) -> None:
        """Answer a call of the stage interface."""
        self._post(Answer(answer_to(question, self._stage_answer)))
        self._steps += 1

    def _stage_answer(self, question: Message) -> tuple[dict[str, Any], Any]:
        if not IStageCalls.providedBy(self._engine):
            raise Refused("This back end cannot be a stage of a pipeline", code="not_a_stage")
        return self._engine.stage_call(question.kind, question.header, question.payload)


def answer_to(question: Message, work: Callable[[Message], tuple[dict[str, Any], Any]]) -> Message:
    """Run `work` on a question; whatever it raises becomes a `fault` message."""
    call = question.header["call"]
    try:
        header, payload = work(question)
    except SwarmnodeError as error:
        return Message("fault", {"call": call}, json_bytes(error.as_dict()))
    except MemoryError:
        return Message("fault", {"call": call}, json_bytes(_out_of_memory(question.kind).as_dict()))
    except Exception as error:
        traceback.print_exc()
        return Message("fault", {"call": call}, json_bytes(_engine_fault(error).as_dict()))
    return Message(ANSWERS[question.kind], {**header, "call": call}, payload)


def find(path: str) -> Any:
    """The thing at a dotted path `package.module:attribute`. Raises `Refused`."""
    module, _, name = path.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise Refused(
            f"The back end {path!r} cannot be imported: {error}",
            code="backend_missing",
            hint="See `swarmnode plugins` for what is installed and what is missing.",
        ) from error


def _engine_fault(error: Exception) -> SwarmnodeError:
    if isinstance(error, SwarmnodeError):
        return error
    if isinstance(error, MemoryError):
        return _out_of_memory("a step")
    return LocalFault(
        f"The engine failed: {type(error).__name__}: {error}",
        code="engine_failed",
        hint="The log has the details; please report it.",
    )


def _out_of_memory(doing: str) -> SwarmnodeError:
    return LocalFault(
        f"The worker ran out of its memory while {doing}",
        code="out_of_memory",
        hint="Use a smaller model, a shorter prompt or a smaller context.",
    )
