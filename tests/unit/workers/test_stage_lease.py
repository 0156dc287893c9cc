"""Workers kept for sessions: loaded when wanted, held while needed, given up with their worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from swarmnode.protocols.pipeline.vocabulary import OpenSession, Sampler, SendStep
from swarmnode.protocols.worker.messages import Message
from swarmnode.values.cards import ModelCard, ModelFacts
from swarmnode.values.errors import LocalFault, Refused, Unavailable
from swarmnode.values.generation import GenerationRequest, RawText, Sampling
from swarmnode.values.layers import LayerRange
from swarmnode.values.loading import LoadSpec
from swarmnode.values.settings import WorkerSettings
from swarmnode.workers.pool import STAGE_IDLE_SECONDS, WorkerPool
from swarmnode.workers.restarts import restart_delay

GONE = LocalFault("it was killed by signal 9", code="worker_lost")
FACTS = ModelFacts(
    "llama", 4, 64, 4, 4, 16, 256, 512, "F16", 4000, (1000,) * 4, 100, 100, (500,) * 4, feed_forward=128
)
CARD = ModelCard("m", "numpy", "/m.gguf", facts=FACTS, context_length=512)
MIDDLE = LayerRange(1, 3)
SAMPLER = Sampler(Sampling(), 0, 0, None, 1)


class FakeWorker:
    def __init__(self, lost: Callable[[Any], None]) -> None:
        self.lost, self.pid = lost, 7
        self.stats: dict[str, Any] = {}
        self.loading: Deferred[Any] = Deferred()
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.calls: list[Deferred[Message]] = []
        self.alive = True
        self.measured: Any = None
        self.left = 0

    def load(self, spec: LoadSpec, factory: str) -> Deferred[Any]:
        self.spec = spec
        return self.loading

    def call(self, kind: str, header: dict[str, Any], payload: bytes) -> Deferred[Message]:
        self.asked.append((kind, header))
        self.calls.append(Deferred())
        return self.calls[-1]

    def leave(self) -> Deferred[None]:
        self.left += 1
        self.alive = False
        return succeed(None)

    def crash(self) -> None:
        """As `WorkerProcess`: calls are told before `lost`."""
        self.alive = False
        for call in [one for one in self.calls if not one.called]:
            call.errback(GONE)
        self.lost(GONE)


@dataclass
class Machine:
    ram_total: int | None = 1 << 30
    ram_available: int | None = 1 << 30
    cgroup_limit: int | None = None
    cores: int = 2


class Bench:
    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.made: list[FakeWorker] = []
        self.pool = WorkerPool(
            self.clock,
            WorkerSettings(**settings),
            {"numpy": "a.b:c"},
            machine=Machine,
            spawn=self.spawn,
        )

    def spawn(self, label: str, lost: Callable[[Any], None]) -> FakeWorker:
        self.made.append(FakeWorker(lost))
        return self.made[-1]

    def lease(self, layers: LayerRange | None = MIDDLE, name: str = "s") -> tuple[Any, list[Any]]:
        lease = self.pool.stage(CARD, layers, name)
        seen: list[Any] = []
        lease.ready().addBoth(seen.append)
        return lease, seen

    def up(self) -> tuple[FakeWorker, Any]:
        lease, seen = self.lease()
        self.made[-1].loading.callback({"profile": "p", "hidden": 64})
        assert seen == [lease]
        return self.made[-1], lease


def test_a_worker_for_some_layers_is_loaded_without_text() -> None:
    bench = Bench()
    worker, lease = bench.up()
    assert (worker.spec.layers, worker.spec.text, worker.spec.prefix_bytes) == (LayerRange(1, 3), False, 0)
    assert worker.spec.label == "m [1-2]" and lease.description["hidden"] == 64
    assert [one.label for one in bench.pool.loaded()] == ["m [1-2]"]


def test_all_layers_are_those_of_the_worker_that_answers_requests() -> None:
    bench = Bench()
    bench.lease(LayerRange(0, 4))
    bench.lease(None)
    assert len(bench.made) == 1
    assert (bench.made[0].spec.layers, bench.made[0].spec.text) == (None, True)


def test_sessions_share_a_worker_under_their_own_names() -> None:
    bench = Bench()
    worker, lease = bench.up()
    other, seen = bench.lease(name="t")
    assert seen == [other] and len(bench.made) == 1
    lease.open(OpenSession("", 0, LayerRange(1, 3), 8, None), SAMPLER)
    other.open(OpenSession("", 0, LayerRange(1, 3), 8, None), SAMPLER)
    assert [header["session"] for _, header in worker.asked] == ["s", "t"]


def test_a_session_that_is_closed_is_closed_in_the_worker_once() -> None:
    bench = Bench()
    worker, lease = bench.up()
    lease.open(OpenSession("", 3, LayerRange(1, 3), 8, None), SAMPLER)
    lease.close()
    lease.close()
    assert [kind for kind, _ in worker.asked] == ["open_session", "close_session"]
    step = SendStep("", 3, 0, 1, None, bytes(256), False)
    failed: list[Any] = []
    lease.step(step).addErrback(lambda failure: failed.append(failure.value.code))
    assert failed == ["unknown_session"]


def test_it_stays_while_it_is_held_and_not_for_ever_after() -> None:
    bench = Bench(idle_unload_seconds=0)
    worker, lease = bench.up()
    bench.clock.advance(10 * STAGE_IDLE_SECONDS)
    assert worker.left == 0
    lease.close()
    bench.clock.advance(STAGE_IDLE_SECONDS - 1)
    assert worker.left == 0
    bench.clock.advance(1)
    assert worker.left == 1 and bench.pool.loaded() == ()


def test_what_the_worker_says_of_itself_shows_that_it_is_at_work() -> None:
    bench = Bench()
    lease, _ = bench.lease()
    heard: list[int] = []
    lease.heard = lambda: heard.append(1)
    bench.made[0].measured({"loading": 0.5})
    bench.made[0].loading.callback({})
    bench.made[0].measured({"progress": 1})
    lease.close()
    bench.made[0].measured({"progress": 2})
    assert len(heard) == 2


def test_a_lost_worker_ends_its_leases_and_no_other() -> None:
    bench = Bench()
    worker, busy = bench.up()
    idle, _ = bench.lease(name="idle")
    errors: list[Any] = []
    busy.open(OpenSession("", 0, LayerRange(1, 3), 8, None), SAMPLER).addErrback(
        lambda failure: errors.append(failure.value)
    )
    worker.crash()
    assert errors == [GONE] and busy.over and idle.over
    following, seen = bench.lease(name="next")
    bench.clock.advance(restart_delay(1))
    assert len(bench.made) == 2
    bench.made[1].loading.callback({})
    assert seen == [following]
    idle.call("close_session", {}, b"").addErrback(lambda failure: errors.append(failure.value))
    assert errors == [GONE, GONE] and bench.made[1].left == 0 and not following.over


def test_a_model_that_cannot_be_loaded_says_why() -> None:
    bench = Bench()
    lease, seen = bench.lease()
    bench.made[0].loading.errback(Refused("no such file", code="bad_model_file"))
    assert seen[0].value.code == "bad_model_file" and lease.over


def test_who_gives_up_while_it_loads_holds_nothing() -> None:
    bench = Bench()
    lease = bench.pool.stage(CARD, LayerRange(1, 3), "s")
    ready = lease.ready()
    ready.addErrback(lambda failure: None)
    ready.cancel()
    bench.made[0].loading.callback({})
    assert lease.over and bench.pool.loaded()[0].active == 0


def test_unloading_ends_leases_by_name() -> None:
    bench = Bench()
    worker, lease = bench.up()
    bench.pool.unload("m [1-2]")
    assert worker.left == 1 and lease.over
    errors: list[Any] = []
    lease.call("step", {}, b"").addErrback(lambda failure: errors.append(failure.value))
    assert isinstance(errors[0], Unavailable) and errors[0].code == "worker_stopped"


def test_requests_and_sessions_run_on_one_worker() -> None:
    bench = Bench()
    lease, _ = bench.lease(None)
    worker: Any = bench.made[0]
    asked: list[Any] = []
    worker.generate = lambda request, sink, lost: asked.append(request)
    bench.pool.generate(CARD, GenerationRequest("r", "m", RawText("x")), object())
    worker.loading.callback({})
    assert len(asked) == 1 and not lease.over


def test_a_card_without_a_back_end_is_refused() -> None:
    with pytest.raises(LocalFault):
        Bench().pool.stage(ModelCard("m", "other"), LayerRange(0, 1), "s")
