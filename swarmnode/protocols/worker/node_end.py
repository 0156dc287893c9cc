"""The node's end of the link, as a machine: bytes and wishes in, messages and answers out.

A request that is paused gets no new credit: its slot in the worker stops once `CREDIT` events are on
their way. So one mechanism bounds what waits and holds the slow reader back, and no other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from swarmnode.protocols.worker.events import ends, read_events
from swarmnode.protocols.worker.frames import FrameDecoder
from swarmnode.protocols.worker.messages import (
    ANSWERS,
    CREDIT,
    LINK_VERSION,
    MAX_CALLS,
    MAX_REQUESTS,
    LinkFault,
    Message,
    json_bytes,
    read_by,
)
from swarmnode.protocols.worker.specs import spec_as_dict
from swarmnode.protocols.worker.vocabulary import (
    Abandoned,
    Answered,
    Call,
    Cancel,
    Deliver,
    Ended,
    Generate,
    Greeted,
    Leave,
    Load,
    Loaded,
    Lost,
    Opened,
    Pause,
    Received,
    Resume,
    Send,
    Stats,
)
from swarmnode.values.errors import LocalFault, SwarmnodeError, Unavailable, error_from_dict
from swarmnode.values.generation import Failed, request_as_dict

#: Seconds for a worker to start its interpreter and say hello.
HELLO_SECONDS = 60.0
#: Seconds for a model to be loaded.
LOAD_SECONDS = 900.0
#: Events whose credit is returned at once, so that not every event costs a message.
CREDIT_BATCH = 32


@dataclass(slots=True)
class _Slot:
    paused: bool = False
    owed: int = 0


class NodeEnd:
    """Phases: `opening` (until hello), `greeted`, `loading`, `ready`, `ended`."""

    def __init__(self, *, hello_seconds: float = HELLO_SECONDS, load_seconds: float = LOAD_SECONDS) -> None:
        self.phase = "opening"
        self._decoder = FrameDecoder("W")
        self._hello_seconds, self._load_seconds = hello_seconds, load_seconds
        self._deadline: float | None = None
        self._slots: dict[int, _Slot] = {}
        self._calls: dict[int, str] = {}
        self._leaving = False

    @property
    def deadline(self) -> float | None:
        """When the worker must have said hello, or loaded its model."""
        return self._deadline

    def handle(self, event: Any | None, now: float) -> list[Any]:
        """One event; returns effects. What the worker says wrongly ends the link by name."""
        if self.phase == "ended":
            return _too_late(event)
        try:
            if event is None:
                return self._late(now)
            return self._HANDLERS[type(event)](self, event, now)
        except LinkFault as fault:
            return self._end(fault)

    def _opened(self, _event: Opened, now: float) -> list[Any]:
        self._deadline = now + self._hello_seconds
        return [Send(Message("hello", {"version": LINK_VERSION}))]

    def _late(self, now: float) -> list[Any]:
        if self._deadline is None or now < self._deadline:
            return []
        what = "did not start" if self.phase == "opening" else "did not load its model"
        seconds = self._hello_seconds if self.phase == "opening" else self._load_seconds
        return self._end(
            LocalFault(
                f"The worker {what} within {seconds:.0f} s",
                code="worker_late",
                hint="The machine may be short of memory or time; try again, or use a smaller model.",
            )
        )

    def _received(self, event: Received, now: float) -> list[Any]:
        effects: list[Any] = []
        for message in self._decoder.feed(event.data):
            if self.phase == "opening" and message.kind not in ("hello", "bye"):
                raise LinkFault(f"the worker began with {message.kind!r} instead of hello")
            effects += read_by(self._READERS[message.kind], self, message, now)
            if self.phase == "ended":
                break
        return effects

    def _hello(self, message: Message, _now: float) -> list[Any]:
        version = message.header.get("version")
        if version != LINK_VERSION:
            raise LinkFault(
                f"The worker speaks version {version!r} of the link, this node version {LINK_VERSION}: "
                "parts of two installations are mixed",
                code="link_version",
            )
        self.phase, self._deadline = "greeted", None
        return [Greeted(message.number("pid"))]

    def _load(self, event: Load, now: float) -> list[Any]:
        if self.phase != "greeted":
            raise LinkFault(f"a load in phase {self.phase}")
        self.phase, self._deadline = "loading", now + self._load_seconds
        return [Send(Message("load", {"factory": event.factory}, json_bytes(spec_as_dict(event.spec))))]

    def _loaded(self, message: Message, _now: float) -> list[Any]:
        if self.phase != "loading":
            raise LinkFault(f"loaded in phase {self.phase}")
        self.phase, self._deadline = "ready", None
        return [Loaded(message.json())]

    def _load_failed(self, message: Message, _now: float) -> list[Any]:
        return self._end(error_from_dict(message.json()))

    def _generate(self, event: Generate, _now: float) -> list[Any]:
        if self.phase != "ready" or len(self._slots) >= MAX_REQUESTS:
            return [Deliver(event.slot, Failed(_no_room(self.phase, len(self._slots))))]
        self._slots[event.slot] = _Slot()
        payload = json_bytes(request_as_dict(event.request))
        return [Send(Message("generate", {"slot": event.slot}, payload))]

    def _events(self, message: Message, _now: float) -> list[Any]:
        effects: list[Any] = []
        touched: dict[int, _Slot] = {}
        for slot, event in read_events(message):
            state = self._slots.get(slot)
            if state is None:
                continue  # cancelled here while the event was on its way
            effects.append(Deliver(slot, event))
            state.owed += 1
            touched[slot] = state
            if ends(event):
                del self._slots[slot]
        for slot, state in touched.items():
            if slot in self._slots and not state.paused and state.owed >= CREDIT_BATCH:
                effects.append(_repay(slot, state))
            elif state.owed > 4 * CREDIT:
                raise LinkFault(f"the worker sent {state.owed} events of slot {slot} without credit")
        return effects

    def _pause(self, event: Pause, _now: float) -> list[Any]:
        if slot := self._slots.get(event.slot):
            slot.paused = True
        return []

    def _resume(self, event: Resume, _now: float) -> list[Any]:
        slot = self._slots.get(event.slot)
        if slot is None:
            return []
        slot.paused = False
        return [_repay(event.slot, slot)] if slot.owed else []

    def _cancel(self, event: Cancel, _now: float) -> list[Any]:
        if self._slots.pop(event.slot, None) is None:
            return []
        return [Send(Message("cancel", {"slot": event.slot}))]

    def _call(self, event: Call, _now: float) -> list[Any]:
        if self.phase != "ready" or len(self._calls) >= MAX_CALLS:
            return [Answered(event.call, _no_room(self.phase, len(self._calls)))]
        self._calls[event.call] = ANSWERS[event.kind]
        return [Send(Message(event.kind, {**event.header, "call": event.call}, event.payload))]

    def _answer(self, message: Message, _now: float) -> list[Any]:
        call = message.number("call")
        wanted = self._calls.pop(call, None)
        if message.kind == "fault" and wanted:
            return [Answered(call, error_from_dict(message.json()))]
        if wanted != message.kind:
            raise LinkFault(f"a {message.kind} message that nobody asked for")
        return [Answered(call, message)]

    def _stats(self, message: Message, _now: float) -> list[Any]:
        return [Stats(message.header)]

    def _leave(self, _event: Leave, _now: float) -> list[Any]:
        self._leaving = True
        stopping = Unavailable(
            "The model was unloaded while the request ran",
            code="worker_stopped",
            hint="Send the request again.",
        )
        return [Send(Message("bye")), *self._end(stopping)]

    def _bye(self, message: Message, _now: float) -> list[Any]:
        if not message.payload:
            raise LinkFault("The worker left without being asked to", code="worker_lost")
        return self._end(error_from_dict(message.json()))

    def _lost(self, event: Lost, _now: float) -> list[Any]:
        return self._end(event.error)

    def _end(self, error: SwarmnodeError) -> list[Any]:
        """Fail what is under way; `Ended` comes last."""
        self.phase, self._deadline = "ended", None
        slots, self._slots = self._slots, {}
        calls, self._calls = self._calls, {}
        return [
            *(Abandoned(slot, error) for slot in slots),
            *(Answered(call, error) for call in calls),
            Ended(None if self._leaving else error),
        ]

    _HANDLERS: ClassVar[dict[type, Callable[[NodeEnd, Any, float], list[Any]]]] = {
        Opened: _opened,
        Received: _received,
        Load: _load,
        Generate: _generate,
        Pause: _pause,
        Resume: _resume,
        Cancel: _cancel,
        Call: _call,
        Leave: _leave,
        Lost: _lost,
    }
    _READERS: ClassVar[dict[str, Callable[[NodeEnd, Message, float], list[Any]]]] = {
        "hello": _hello,
        "loaded": _loaded,
        "load_failed": _load_failed,
        "events": _events,
        "stats": _stats,
        "bye": _bye,
        **dict.fromkeys(("tokens", "text", "step_result", "done", "fault"), _answer),
    }


def _too_late(event: Any) -> list[Any]:
    """Answers for those who ask a link that is over."""
    if isinstance(event, Generate):
        return [Abandoned(event.slot, _no_room("ended", 0))]
    if isinstance(event, Call):
        return [Answered(event.call, _no_room("ended", 0))]
    return []


def _repay(slot: int, state: _Slot) -> Send:
    count, state.owed = state.owed, 0
    return Send(Message("credit", {"slot": slot, "count": count}))


def _no_room(phase: str, count: int) -> SwarmnodeError:
    if phase == "ready":
        return Unavailable(
            f"The worker already has {count} requests", code="queue_full", hint="Try again in a moment."
        )
    return LocalFault(
        f"The worker cannot take this now: it is {phase}", code="worker_lost", hint="Try again."
    )
