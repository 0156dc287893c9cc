"""The worker's end of the link, as a machine.

It counts the credit of every slot, as the engine's thread does, which stops a slot without any. A slot
that stays without for `SLOW_READER_SECONDS` ends by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from swarmnode.protocols.worker.events import ends, events_messages
from swarmnode.protocols.worker.frames import FrameDecoder
from swarmnode.protocols.worker.messages import (
    CREDIT,
    LINK_VERSION,
    MAX_REQUESTS,
    LinkFault,
    Message,
    json_bytes,
    read_by,
)
from swarmnode.protocols.worker.specs import spec_from_dict
from swarmnode.protocols.worker.vocabulary import (
    AddCredit,
    Answer,
    Broken,
    CancelSlot,
    Emitted,
    EngineFailed,
    EngineLoaded,
    HungUp,
    MakeEngine,
    Measured,
    Opened,
    Quit,
    Received,
    RunCall,
    Send,
    Submit,
)
from swarmnode.values.errors import SwarmnodeError, Unavailable
from swarmnode.values.generation import Failed, GenerationEvent

#: Seconds that a slot waits for credit before it ends.
SLOW_READER_SECONDS = 30.0


@dataclass(slots=True)
class _Slot:
    credit: int = CREDIT
    dry_since: float | None = None


class WorkerEnd:
    """The worker's end of the link."""

    def __init__(self, pid: int, *, slow_reader_seconds: float = SLOW_READER_SECONDS) -> None:
        self._pid = pid
        self._decoder = FrameDecoder("N")
        self._slow_seconds = slow_reader_seconds
        self._slots: dict[int, _Slot] = {}
        self._newest = -1
        self._cancelled_early: set[int] = set()
        self._greeted = False
        self._loading = False
        self._over = False

    @property
    def deadline(self) -> float | None:
        """When the slot that has been without credit for longest is to end."""
        dry = [slot.dry_since for slot in self._slots.values() if slot.dry_since is not None]
        return min(dry) + self._slow_seconds if dry else None

    def handle(self, event: Any | None, now: float) -> list[Any]:
        """One event; returns effects. What the node says wrongly ends the worker by name."""
        if self._over:
            return []
        try:
            if event is None:
                return self._end_slow_readers(now)
            return self._HANDLERS[type(event)](self, event, now)
        except LinkFault as fault:
            return self._quit(fault)

    def _opened(self, _event: Opened, _now: float) -> list[Any]:
        return [Send(Message("hello", {"version": LINK_VERSION, "pid": self._pid}))]

    def _received(self, event: Received, now: float) -> list[Any]:
        effects: list[Any] = []
        for message in self._decoder.feed(event.data):
            if not self._greeted and message.kind not in ("hello", "bye"):
                raise LinkFault(f"the node began with {message.kind!r} instead of hello")
            effects += read_by(self._READERS.get(message.kind, WorkerEnd._call), self, message, now)
            if self._over:
                break
        return effects

    def _hello(self, message: Message, _now: float) -> list[Any]:
        version = message.header.get("version")
        if version != LINK_VERSION:
            raise LinkFault(
                f"The node speaks version {version!r} of the link, this worker version {LINK_VERSION}: "
                "parts of two installations are mixed",
                code="link_version",
            )
        self._greeted = True
        return []

    def _load(self, message: Message, _now: float) -> list[Any]:
        if self._loading:
            raise LinkFault("a worker loads once")
        self._loading = True
        factory = message.header.get("factory")
        if not isinstance(factory, str):
            raise LinkFault("a load message without a factory")
        return [MakeEngine(spec_from_dict(message.json()), factory)]

    def _engine_loaded(self, event: EngineLoaded, _now: float) -> list[Any]:
        return [Send(Message("loaded", payload=json_bytes(dict(event.description))))]

    def _engine_failed(self, event: EngineFailed, _now: float) -> list[Any]:
        return [Send(Message("load_failed", payload=json_bytes(event.error.as_dict())))]

    def _generate(self, message: Message, _now: float) -> list[Any]:
        slot = message.number("slot")
        if slot <= self._newest or len(self._slots) >= MAX_REQUESTS:
            raise LinkFault(f"slot {slot} after slot {self._newest} with {len(self._slots)} in use")
        self._newest = slot
        if slot in self._cancelled_early:
            self._cancelled_early.discard(slot)
            return []
        self._slots[slot] = _Slot()
        return [Submit(slot, message.payload)]

    def _cancel(self, message: Message, _now: float) -> list[Any]:
        slot = message.number("slot")
        if slot > self._newest:  # the long request is still on its way in the bulk lane
            self._cancelled_early.add(slot)
            if len(self._cancelled_early) > MAX_REQUESTS:
                raise LinkFault("too many requests were cancelled that never came")
        if self._slots.pop(slot, None) is None:
            return []
        return [CancelSlot(slot)]

    def _credit(self, message: Message, _now: float) -> list[Any]:
        number = message.number("slot")
        slot = self._slots.get(number)
        if slot is None:
            return []
        count = message.number("count")
        slot.credit += count
        if slot.credit > CREDIT or count < 1:
            raise LinkFault(f"slot {number} was given more credit than it used")
        if slot.credit > 0:
            slot.dry_since = None
        return [AddCredit(number, count)]

    def _emitted(self, event: Emitted, now: float) -> list[Any]:
        kept: list[tuple[int, GenerationEvent]] = []
        for number, item in event.events:
            slot = self._slots.get(number)
            if slot is None:
                continue  # cancelled while the step ran
            kept.append((number, item))
            slot.credit -= 1
            if ends(item):
                del self._slots[number]
            elif slot.credit <= 0 and slot.dry_since is None:
                slot.dry_since = now
        return [Send(message) for message in events_messages(kept)]

    def _end_slow_readers(self, now: float) -> list[Any]:
        effects: list[Any] = []
        for number, slot in list(self._slots.items()):
            if slot.dry_since is None or now < slot.dry_since + self._slow_seconds:
                continue
            del self._slots[number]
            failed = Failed(_slow_reader(self._slow_seconds))
            effects += [CancelSlot(number), *map(Send, events_messages([(number, failed)]))]
        return effects

    def _call(self, message: Message, _now: float) -> list[Any]:
        message.number("call")
        return [RunCall(message)]

    def _answer(self, event: Answer, _now: float) -> list[Any]:
        return [Send(event.message)]

    def _measured(self, event: Measured, _now: float) -> list[Any]:
        return [Send(Message("stats", event.values))] if self._greeted else []

    def _bye(self, _message: Message, _now: float) -> list[Any]:
        return self._quit(None)

    def _hung_up(self, _event: HungUp, _now: float) -> list[Any]:
        return self._quit(None)

    def _broken(self, event: Broken, _now: float) -> list[Any]:
        return self._quit(event.error)

    def _quit(self, error: SwarmnodeError | None) -> list[Any]:
        self._over = True
        self._slots.clear()
        farewell = [Send(Message("bye", payload=json_bytes(error.as_dict())))] if error else []
        return [*farewell, Quit(error)]

    _HANDLERS: ClassVar[dict[type, Callable[[WorkerEnd, Any, float], list[Any]]]] = {
        Opened: _opened,
        Received: _received,
        EngineLoaded: _engine_loaded,
        EngineFailed: _engine_failed,
        Emitted: _emitted,
        Answer: _answer,
        Measured: _measured,
        Broken: _broken,
        HungUp: _hung_up,
    }
    _READERS: ClassVar[dict[str, Callable[[WorkerEnd, Message, float], list[Any]]]] = {
        "hello": _hello,
        "load": _load,
        "generate": _generate,
        "cancel": _cancel,
        "credit": _credit,
        "bye": _bye,
    }


def _slow_reader(seconds: float) -> Unavailable:
    return Unavailable(
        f"The answer was not read for {seconds:.0f} s",
        code="slow_reader",
        hint="Read the stream faster, or ask for the whole answer at once.",
    )
