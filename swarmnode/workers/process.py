"""One worker process as the node sees it: started, spoken to, watched, ended."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import structlog
from twisted.internet.defer import Deferred
from zope.interface import implementer

from swarmnode.driving.driver import Driver
from swarmnode.interfaces.generation import IGeneration
from swarmnode.protocols.worker import vocabulary as words
from swarmnode.protocols.worker.events import ends
from swarmnode.protocols.worker.messages import Message
from swarmnode.protocols.worker.node_end import NodeEnd
from swarmnode.values.errors import LocalFault, SwarmnodeError
from swarmnode.values.generation import Failed, GenerationRequest
from swarmnode.values.loading import LoadSpec
from swarmnode.workers.carriers import carrier_for
from swarmnode.workers.child import ChildProtocol, not_started, worker_lost
from swarmnode.workers.link_protocol import LinkProtocol
from swarmnode.workers.spawning import stop_signals_blocked, worker_command, worker_environment

#: Seconds for a worker to end after its link was closed, before it is killed.
KILL_SECONDS = 2.0
#: Seconds to read what a worker said before it ended.
LAST_WORDS_SECONDS = 0.5

log = structlog.get_logger("worker")


@implementer(IGeneration)
class Generation:
    """A request in a worker's slot."""

    def __init__(self, slot: int, post: Callable[[Any], None], forget: Callable[[int], Any]) -> None:
        self._slot, self._post, self._forget = slot, post, forget

    def pause(self) -> None:
        """As `IGeneration` says."""
        self._post(words.Pause(self._slot))

    def resume(self) -> None:
        """As `IGeneration` says."""
        self._post(words.Resume(self._slot))

    def cancel(self) -> None:
        """As `IGeneration` says."""
        self._forget(self._slot)
        self._post(words.Cancel(self._slot))


class WorkerProcess:
    """A worker process and the node's end of its link.

    reactor: `IReactorProcess`, `IReactorTime` and `IReactorSocket` (or `IReactorTCP` for way `tcp`).
    exited: fires with None when the process is reaped and its pipes are closed.
    measured: may be set; called with what the worker says of itself, about once a second while it works.
    lost: called once when the link ends without `leave`, with the reason; requests and calls that were
    under way have been told before.
    """

    def __init__(
        self,
        reactor: Any,
        label: str,
        lost: Callable[[SwarmnodeError], None] = lambda error: None,
        *,
        way: str = "auto",
    ) -> None:
        self.label = label
        self.pid = 0
        self.stats: Mapping[str, Any] = {}
        self.measured: Callable[[Mapping[str, Any]], None] = lambda values: None
        self.exited: Deferred[None] = Deferred()
        self._reactor, self._lost = reactor, lost
        self._numbers = count()
        self._sinks: dict[int, tuple[Any, Callable[[SwarmnodeError], None]]] = {}
        self._calls: dict[int, Deferred[Message]] = {}
        self._loading: Deferred[Mapping[str, Any]] | None = None
        self._wish: words.Load | None = None
        self._greeting_came = False
        self._link: LinkProtocol | None = None
        self._early: list[Message] = []
        self._exit = ""
        self._link_gone = False
        self._timer: Any = None
        self._leaving = False
        self._driver = Driver(f"link to {label}", NodeEnd(), reactor, self._executors(), self._failed)
        self._spawn(way)

    def _executors(self) -> dict[type, Callable[[Any], None]]:
        return {
            words.Send: self._send,
            words.Greeted: self._greeted,
            words.Loaded: self._loaded,
            words.Deliver: self._deliver,
            words.Abandoned: self._abandoned,
            words.Answered: self._answered,
            words.Stats: self._take_stats,
            words.Ended: self._ended,
        }

    def _spawn(self, way: str) -> None:
        self._process = ChildProtocol(self._say, self._process_exited, self._process_ended)
        self._carrier = carrier_for(way)(self._reactor, self._make_protocol)
        inherited = self._carrier.descriptors()
        streams = {0: "w", 1: "r", 2: "r", **inherited} if inherited else None  # None is all Windows takes
        command = worker_command(self._carrier.link)
        environment = worker_environment(os.environ)
        try:
            with stop_signals_blocked():
                transport = self._reactor.spawnProcess(
                    self._process, command[0], command, environment, childFDs=streams
                )
        except OSError as error:
            self._carrier.close()
            raise not_started(error) from error
        finally:
            self._carrier.spawned()
        self.pid = transport.pid
        transport.write(self._carrier.stdin)
        transport.closeStdin()
        self._driver.post(words.Opened())

    # What the node wants.

    def load(self, spec: LoadSpec, factory: str) -> Deferred[Mapping[str, Any]]:
        """Load a model by a back end's factory; fires with what the engine says of itself, or fails
        with a `SwarmnodeError`. Once a worker."""
        self._loading, self._wish = Deferred(), words.Load(spec, factory)
        loading = self._loading
        if self._driver.stopped or self._leaving:
            self._fail_loading(LocalFault("The worker has already ended", code="worker_lost"))
        elif self._greeting_came:
            self._driver.post(self._wish)
        return loading

    def generate(
        self, request: GenerationRequest, sink: Any, lost: Callable[[SwarmnodeError], None] | None = None
    ) -> Generation:
        """Run a request. lost: called instead of a `Failed` event when the worker goes away."""
        slot = next(self._numbers)
        self._sinks[slot] = sink, lost or (lambda error: sink.event(Failed(error)))
        if self._driver.stopped:
            self._abandoned(words.Abandoned(slot, LocalFault("The worker has ended", code="worker_lost")))
        self._driver.post(words.Generate(slot, request))
        return Generation(slot, self._driver.post, lambda slot: self._sinks.pop(slot, None))

    def call(
        self,
        kind: str,
        header: Mapping[str, Any] | None = None,
        payload: bytes | bytearray | memoryview = b"",
    ) -> Deferred[Message]:
        """Ask a question (`protocols.worker.messages.ANSWERS`); fires with the answer's message."""
        number, answer = next(self._numbers), Deferred[Message]()
        if self._driver.stopped:
            answer.errback(LocalFault("The worker has ended", code="worker_lost"))
            return answer
        self._calls[number] = answer
        self._driver.post(words.Call(number, kind, header or {}, payload))
        return answer

    def leave(self) -> Deferred[None]:
        """End the process in order, by force after `KILL_SECONDS`; fires when it is reaped."""
        self._leaving = True
        self._driver.post(words.Leave())
        return _follow(self.exited)

    def kill(self) -> None:
        """End the process at once."""
        self._process.signal("KILL")

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return not (self._driver.stopped or self._leaving or self._link_gone or self._process.gone)

    @property
    def active(self) -> int:
        """Requests under way."""
        return len(self._sinks)

    # What the link's machine wants.

    def _make_protocol(self, token: bytes) -> LinkProtocol:
        return LinkProtocol(self._opened, self._received, self._hung_up, token)

    def _opened(self, link: LinkProtocol) -> None:
        self._link = link
        early, self._early = self._early, []
        for message in early:
            link.send(message)

    def _received(self, data: bytes) -> None:
        self._driver.post(words.Received(data))

    def _send(self, effect: words.Send) -> None:
        if self._link is not None:
            self._link.send(effect.message)
        else:
            self._early.append(effect.message)

    def _greeted(self, _effect: words.Greeted) -> None:
        self._carrier.close()
        self._greeting_came = True
        if self._wish:
            self._driver.post(self._wish)

    def _loaded(self, effect: words.Loaded) -> None:
        if self._loading:
            loading, self._loading = self._loading, None
            loading.callback(effect.description)

    def _deliver(self, effect: words.Deliver) -> None:
        entry = self._sinks.get(effect.slot)
        if entry is None:
            return
        if ends(effect.event):
            del self._sinks[effect.slot]
        try:
            entry[0].event(effect.event)
        except Exception:
            log.exception("the taker of an answer failed; its request is cancelled", model=self.label)
            self._sinks.pop(effect.slot, None)
            self._driver.post(words.Cancel(effect.slot))

    def _abandoned(self, effect: words.Abandoned) -> None:
        entry = self._sinks.pop(effect.slot, None)
        if entry is not None:
            entry[1](effect.error)

    def _answered(self, effect: words.Answered) -> None:
        answer = self._calls.pop(effect.call, None)
        if answer is None:
            return
        if isinstance(effect.answer, Message):
            answer.callback(effect.answer)
        else:
            answer.errback(effect.answer)

    def _take_stats(self, effect: words.Stats) -> None:
        self.stats = effect.values
        self.measured(effect.values)

    def _ended(self, effect: words.Ended) -> None:
        self._hang_up()
        error = effect.error or LocalFault("The worker was stopped", code="worker_stopped")
        self._fail_loading(error)
        if not self._leaving:
            self._leaving = True
            self._lost(error)

    def _failed(self, error: SwarmnodeError) -> None:
        """The driver itself ended: tell everybody, as the machine would have."""
        for slot in list(self._sinks):
            self._abandoned(words.Abandoned(slot, error))
        for call in list(self._calls):
            self._answered(words.Answered(call, error))
        self._ended(words.Ended(error))

    def _fail_loading(self, error: SwarmnodeError) -> None:
        if self._loading:
            loading, self._loading = self._loading, None
            loading.errback(error)

    def _say(self, line: str) -> None:
        log.info(line, model=self.label, pid=self.pid)

    # The end.

    def _hang_up(self) -> None:
        """Close the link, which ends the worker; make sure of it after `KILL_SECONDS`."""
        self._carrier.close()
        if self._link is not None:
            self._link.close()
        if not self._process.gone:
            self._in(KILL_SECONDS, self.kill)

    def _in(self, seconds: float, then: Callable[[], None]) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = self._reactor.callLater(seconds, then)

    def _hung_up(self) -> None:
        """The worker closed the link: its exit will say why."""
        self._link_gone = True
        if self._exit:
            self._conclude()
        else:
            self._in(KILL_SECONDS, self.kill)

    def _process_exited(self, how: str) -> None:
        """The process is gone, `how` in words; what it had still said is read first."""
        self._exit = how
        if self._link_gone or self._link is None:
            self._conclude()
        else:
            self._in(LAST_WORDS_SECONDS, self._conclude)

    def _conclude(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._driver.post(words.Lost(worker_lost(self._exit)))
        self._driver.stop()
        self._hang_up()

    def _process_ended(self) -> None:
        """Its pipes are closed too."""
        self.exited.callback(None)


def _follow(deferred: Deferred[None]) -> Deferred[None]:
    """A Deferred of one's own that fires when the other does."""
    follower: Deferred[None] = Deferred()

    def tell(result: None) -> None:
        follower.callback(None)
        return result

    deferred.addCallback(tell)
    return follower
