"""Two connection machines back to back in memory: what one writes reaches the other, cut as one likes, on a
clock that only moves when it is told to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from nacl.signing import SigningKey

from swarmnode.protocols.connection.connection import ConnectionMachine
from swarmnode.protocols.connection.vocabulary import (
    Attend,
    Begin,
    BytesIn,
    BytesOut,
    Closed,
    Consumed,
    DataIn,
    Flush,
    Secured,
    StreamOpened,
)
from swarmnode.protocols.identity.handover import Signer
from swarmnode.values.peer_id import peer_id

#: Turns in which two machines must have nothing more to say to each other.
MAX_TURNS = 100_000


def signer(seed: int) -> Signer:
    """An identity made of a number."""
    key = SigningKey(hashlib.sha256(b"identity %d" % seed).digest())
    return Signer(bytes(key.verify_key), lambda message: bytes(key.sign(message).signature))


def entropy(seed: int) -> Callable[[int], bytes]:
    """Bytes that look random and are the same each time."""
    count = 0

    def draw(size: int) -> bytes:
        nonlocal count
        count += 1
        return hashlib.shake_256(b"entropy %d %d" % (seed, count)).digest(size)

    return draw


class End:
    """One end. wire: what it wrote and the other has not read. told: its effects but bytes. received: data by
    stream. consumes: whether data count as consumed at once."""

    def __init__(self, machine: ConnectionMachine, identity: Signer) -> None:
        self.machine = machine
        self.peer_id = peer_id(identity.public_key)
        self.wire = bytearray()
        self.told: list[Any] = []
        self.received: dict[int, bytearray] = {}
        self.protocols: dict[int, str] = {}
        self.consumes = True

    def of(self, kind: type) -> list[Any]:
        """The effects of a kind so far."""
        return [effect for effect in self.told if isinstance(effect, kind)]


class ConnectionPair:
    """dialler and listener; `now` is their time."""

    def __init__(
        self,
        serves: tuple[str, ...] = ("/echo/1",),
        *,
        expected: str | None = None,
        seeds: tuple[int, int] = (1, 2),
        attends: bool = True,
    ) -> None:
        self.now = 100.0
        self.attends = attends
        self.ends: list[End] = []
        for index, seed in enumerate(seeds):
            identity = signer(seed)
            wanted = expected if index == 0 else None
            machine = ConnectionMachine(index == 0, identity, entropy(index), lambda: serves, wanted)
            self.ends.append(End(machine, identity))
        self.dialler, self.listener = self.ends

    def post(self, end: End, event: Any) -> None:
        """Hand one end an event and carry out what it answers."""
        for effect in end.machine.handle(event, self.now):
            self._execute(end, effect)

    def _execute(self, end: End, effect: Any) -> None:
        if isinstance(effect, BytesOut):
            for chunk in effect.chunks:
                end.wire += chunk
            return
        end.told.append(effect)
        if isinstance(effect, Secured) and self.attends:
            self.post(end, Attend())
        elif isinstance(effect, StreamOpened):
            end.protocols[effect.stream] = effect.protocol
        elif isinstance(effect, DataIn):
            end.received.setdefault(effect.stream, bytearray()).extend(effect.data)
            if end.consumes:
                self.post(end, Consumed(effect.stream, len(effect.data)))

    def begin(self) -> ConnectionPair:
        """Open the pipe and let both talk until they have nothing more to say."""
        for end in self.ends:
            self.post(end, Begin())
        return self.run()

    def run(self, cuts: Iterator[int] | None = None) -> ConnectionPair:
        """Carry bytes both ways until all is quiet. cuts: sizes of the pieces read (default: all)."""
        for _ in range(MAX_TURNS):
            for end in self.ends:
                self.post(end, Flush())
                self._due(end)
            if not any(end.wire for end in self.ends):
                return self
            for end, other in (self.ends, self.ends[::-1]):
                size = len(end.wire) if cuts is None else next(cuts)
                data = bytes(end.wire[:size])
                del end.wire[:size]
                if data:
                    self.post(other, BytesIn(data))
        raise AssertionError("the machines do not stop talking")

    def advance(self, seconds: float, step: float = 0.25) -> None:
        """Let time pass; both ends keep their deadlines, and talk."""
        end_time = self.now + seconds
        while self.now < end_time:
            self.now = min(end_time, self.now + step)
            for end in self.ends:
                self._due(end)
            self.run()

    def wait(self, end: End, seconds: float, step: float = 0.25) -> None:
        """Let time pass for one end; nothing reaches the other."""
        end_time = self.now + seconds
        while self.now < end_time:
            self.now = min(end_time, self.now + step)
            self._due(end)

    def _due(self, end: End) -> None:
        for _ in range(MAX_TURNS):
            deadline = end.machine.deadline
            if deadline is None or deadline > self.now:
                return
            self.post(end, None)
        raise AssertionError("a deadline never passes")

    @property
    def closed(self) -> tuple[Any, Any]:
        """What either end's connection ended with; False while it is open."""
        dialler, listener = (end.of(Closed) for end in self.ends)
        return (dialler[0].error if dialler else False, listener[0].error if listener else False)
