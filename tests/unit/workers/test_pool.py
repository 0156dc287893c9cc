"""The pool on a Clock with workers that are not there: loading, waiting, crashes, idleness, memory, stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from swarmnode.interfaces.catalog import IWorkerPool
from swarmnode.interfaces.generation import IGeneration
from swarmnode.policy.memory import PROCESS_BYTES
from swarmnode.values.cards import ModelCard
from swarmnode.values.errors import LocalFault, Refused
from swarmnode.values.generation import (
    Failed,
    Finished,
    GenerationRequest,
    RawText,
    Started,
    TextDelta,
    Usage,
)
from swarmnode.values.loading import LoadSpec
from swarmnode.values.settings import WorkerSettings
from swarmnode.workers.hosted_model import LOAD_AGAIN_SECONDS, MAX_WAITING
from swarmnode.workers.pool import WorkerPool
from swarmnode.workers.restarts import restart_delay

GONE = LocalFault("it was killed by signal 9", code="worker_lost")
MIB = 1 << 20


class Running:
    """A request in a fake worker's slot."""

    def __init__(self, request: GenerationRequest, sink: Any, lost: Any) -> None:
        self.request, self.sink, self.lost = request, sink, lost
        self.steered: list[str] = []

    def pause(self) -> None:
        self.steered.append("pause")

    def resume(self) -> None:
        self.steered.append("resume")

    def cancel(self) -> None:
        self.steered.append("cancel")

    def answer(self, *texts: str) -> None:
        self.sink.event(Started("m", 1, 0, 77))
        for text in texts:
            self.sink.event(TextDelta(0, text))

    def finish(self) -> None:
        self.sink.event(Finished(Usage()))


class FakeWorker:
    """Behaves as `WorkerProcess` does: tells its requests, then `lost`, then `exited`."""

    def __init__(self, label: str, lost: Callable[[Any], None], pid: int) -> None:
        self.label, self.lost, self.pid = label, lost, pid
        self.stats: dict[str, Any] = {}
        self.loading: Deferred[Any] = Deferred()
        self.running: list[Running] = []
        self.left = 0
        self.ends_at_once = True
        self._waiting: list[Deferred[None]] = []
        self._gone = False

    def load(self, spec: LoadSpec, factory: str) -> Deferred[Any]:
        self.spec, self.factory = spec, factory
        return self.loading

    def generate(self, request: GenerationRequest, sink: Any, lost: Any) -> Running:
        self.running.append(Running(request, sink, lost))
        return self.running[-1]

    def leave(self) -> Deferred[None]:
        self.left += 1
        done: Deferred[None] = Deferred()
        self._waiting.append(done)
        if self.ends_at_once or self._gone:
            self.exit()
        return done

    def exit(self) -> None:
        self._gone = True
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done.callback(None)

    def ready(self) -> None:
        self.loading.callback({"profile": "p"})

    def crash(self) -> None:
        self._gone = True
        for one in self.running:
            one.lost(GONE)
        if not self.loading.called:
            self.loading.errback(GONE)
        self.lost(GONE)


@dataclass
class Machine:
    ram_total: int | None = 1024 * MIB
    ram_available: int | None = 1024 * MIB
    cgroup_limit: int | None = None
    cores: int = 3


class Bench:
    def __init__(self, settings: WorkerSettings | None = None, room: int = 4) -> None:
        """room: how many workers fit in memory."""
        self.clock = Clock()
        self.made: list[FakeWorker] = []
        self.noticed: list[tuple[str, str]] = []
        self.spawn_error: Exception | None = None
        settings = settings or WorkerSettings()
        self.pool = WorkerPool(
            self.clock,
            replace(settings, max_ram_mb=room * PROCESS_BYTES // MIB),
            {"scripted": "a.b:c"},
            machine=Machine,
            options=lambda card: {"say": card.label},
            noticed=lambda what, label: self.noticed.append((what, label)),
            spawn=self.spawn,
        )

    def spawn(self, label: str, lost: Callable[[Any], None]) -> FakeWorker:
        if self.spawn_error:
            raise self.spawn_error
        self.made.append(FakeWorker(label, lost, 100 + len(self.made)))
        return self.made[-1]

    def ask(self, label: str = "m", seed: int | None = None) -> tuple[Any, list[Any]]:
        seen: list[Any] = []
        sink = type("Sink", (), {"event": staticmethod(seen.append)})()
        request = GenerationRequest("r", label, RawText("x"))
        request = replace(request, sampling=replace(request.sampling, seed=seed))
        return self.pool.generate(ModelCard(label, "scripted"), request, sink), seen

    def up(self, label: str = "m") -> FakeWorker:
        """A model with a worker that has nothing to do."""
        _, seen = self.ask(label)
        worker = self.made[-1]
        worker.ready()
        worker.running.pop().finish()
        assert isinstance(seen[-1], Finished)
        self.noticed.clear()
        return worker


def test_it_is_what_it_says() -> None:
    bench = Bench()
    assert verifyObject(IWorkerPool, bench.pool)
    assert verifyObject(IGeneration, bench.ask()[0])


def test_a_model_is_loaded_when_it_is_asked_for() -> None:
    bench = Bench(WorkerSettings(slots=5, context=99, threads=0))
    assert bench.pool.loaded() == ()
    _, seen = bench.ask()
    (worker,) = bench.made
    assert (worker.factory, worker.spec.slots, worker.spec.context, worker.spec.threads) == (
        "a.b:c",
        5,
        99,
        2,  # half of three cores, by the contribution
    )
    assert worker.spec.options == {"say": "m"}
    assert worker.running == [] and bench.pool.loaded()[0].state == "starting"
    assert bench.pool.loaded()[0].loading is None
    worker.stats = {"resident_bytes": 5, "loading": 0.25}
    assert bench.pool.loaded()[0].loading == 0.25
    worker.ready()
    assert bench.pool.loaded()[0].loading is None
    worker.stats = {"resident_bytes": 5, "prefix_cache": {"hits": 2}, "load": {"running": 1}}
    (running,) = worker.running
    running.answer("a")
    running.finish()
    assert [type(e) for e in seen] == [Started, TextDelta, Finished]
    (loaded,) = bench.pool.loaded()
    assert (loaded.state, loaded.pid, loaded.active, loaded.resident_bytes) == ("ready", 100, 0, 5)
    assert (loaded.profile, loaded.footprint_bytes) == ("p", PROCESS_BYTES)
    assert loaded.prefix_cache == {"hits": 2} and loaded.load == {"running": 1}
    assert loaded.kv_bytes == worker.spec.kv_bytes
    assert bench.noticed == [("loaded", "m")]


def test_requests_wait_in_bounded_number_while_it_loads() -> None:
    bench = Bench()
    waiting = [bench.ask()[1] for _ in range(MAX_WAITING)]
    _, refused = bench.ask()
    assert refused[0].error.code == "queue_full"
    assert len(bench.made) == 1 and bench.pool.loaded()[0].active == MAX_WAITING
    bench.made[0].ready()
    assert len(bench.made[0].running) == MAX_WAITING and waiting == [[]] * MAX_WAITING


def test_a_load_that_fails_fails_those_who_waited_with_its_reason() -> None:
    bench = Bench()
    _, one = bench.ask()
    _, two = bench.ask()
    bench.made[0].loading.errback(Refused("not a GGUF", code="bad_model_file"))
    assert one[0].error.code == two[0].error.code == "bad_model_file"
    assert bench.made[0].left == 1 and bench.pool.loaded() == ()
    _, three = bench.ask()
    assert three[0].error.code == "bad_model_file" and len(bench.made) == 1
    bench.clock.advance(LOAD_AGAIN_SECONDS)
    bench.ask()
    assert len(bench.made) == 2


def test_a_worker_that_cannot_be_started_is_a_failed_load() -> None:
    bench = Bench()
    bench.spawn_error = LocalFault("no processes left", code="worker_not_started")
    _, seen = bench.ask()
    assert seen[0].error.code == "worker_not_started"


def test_a_worker_lost_while_loading_fails_those_who_waited() -> None:
    bench = Bench()
    _, seen = bench.ask()
    bench.made[0].crash()
    assert seen[0].error is GONE and bench.noticed == []


def test_a_crash_fails_what_was_being_answered_and_the_next_request_works() -> None:
    bench = Bench()
    worker = bench.up()
    _, seen = bench.ask()
    worker.running[0].answer("half")
    worker.crash()
    assert isinstance(seen[-1], Failed) and seen[-1].error is GONE
    assert bench.noticed == [("crashed", "m")] and worker.left == 1
    _, after = bench.ask()
    bench.made[1].ready()
    bench.made[1].running[0].answer("whole")
    assert [type(e) for e in after] == [Started, TextDelta]


def test_a_request_that_had_nothing_yet_runs_again_in_a_new_worker_with_its_seed() -> None:
    bench = Bench()
    worker = bench.up()
    handle, seen = bench.ask()
    worker.running[0].answer()
    handle.pause()
    worker.crash()
    bench.made[1].ready()
    (again,) = bench.made[1].running
    assert again.request.sampling.seed == 77 and again.steered == ["pause"]
    again.answer("a")
    again.finish()
    assert [type(e) for e in seen] == [Started, TextDelta, Finished]


def test_it_runs_again_only_once() -> None:
    bench = Bench()
    worker = bench.up()
    _, seen = bench.ask()
    worker.crash()
    bench.made[1].ready()
    bench.made[1].crash()
    assert [type(e) for e in seen] == [Failed]
    assert len(bench.made) == 2


def test_restarts_are_put_off_longer_and_longer() -> None:
    bench = Bench()
    for failures in range(1, 5):
        _, seen = bench.ask()
        delay = restart_delay(failures - 1)
        if delay:
            assert len(bench.made) == failures - 1
            bench.clock.advance(delay - 0.01)
            assert len(bench.made) == failures - 1
            bench.clock.advance(0.02)
        bench.made[-1].ready()
        bench.made[-1].running[0].answer("x")
        bench.made[-1].crash()
        assert isinstance(seen[-1], Failed)
    assert restart_delay(4) > restart_delay(3) > restart_delay(2) > restart_delay(1) == 0


def test_a_new_worker_starts_only_when_the_old_one_is_gone() -> None:
    bench = Bench()
    worker = bench.up()
    worker.ends_at_once = False
    bench.pool.unload("m")
    bench.ask()
    assert len(bench.made) == 1
    worker.exit()
    assert len(bench.made) == 2


def test_an_idle_model_is_unloaded_and_a_busy_one_is_not() -> None:
    bench = Bench(WorkerSettings(idle_unload_seconds=60))
    worker = bench.up()
    bench.clock.advance(59)
    bench.ask()
    bench.clock.advance(600)
    assert worker.left == 0
    worker.running[0].finish()
    bench.clock.advance(59)
    assert worker.left == 0
    bench.clock.advance(1)
    assert worker.left == 1 and bench.pool.loaded() == () and bench.noticed == [("unloaded", "m")]


def test_idle_seconds_of_zero_keep_it_for_ever() -> None:
    bench = Bench(WorkerSettings(idle_unload_seconds=0))
    bench.up()
    assert bench.clock.getDelayedCalls() == []


def test_the_least_recently_used_model_makes_room() -> None:
    bench = Bench(room=2)
    workers = {label: bench.up(label) for label in ("a", "b") if not bench.clock.advance(1)}
    bench.clock.advance(1)
    bench.ask("a")
    workers["a"].running[0].finish()
    bench.clock.advance(1)
    bench.ask("c")
    assert [workers[label].left for label in "ab"] == [0, 1]
    assert {model.label for model in bench.pool.loaded()} == {"a", "c"}


def test_room_for_one_is_enough_for_one_after_the_other() -> None:
    bench = Bench(room=1)
    for label in ("a", "b", "a"):
        bench.up(label)
        bench.clock.advance(1)
    assert [worker.label for worker in bench.made] == ["a", "b", "a"]


def test_a_model_that_answers_is_never_evicted() -> None:
    bench = Bench(room=1)
    worker = bench.up("a")
    bench.ask("a")
    _, seen = bench.ask("b")
    assert seen[0].error.code == "memory_busy" and worker.left == 0


def test_a_model_is_loaded_when_the_one_before_it_is_gone() -> None:
    bench = Bench(room=1)
    worker = bench.up("a")
    worker.ends_at_once = False
    bench.ask("b")
    assert len(bench.made) == 1
    worker.exit()
    assert [made.label for made in bench.made] == ["a", "b"]


def test_steering_before_and_after_the_start() -> None:
    bench = Bench()
    paused, _ = bench.ask()
    cancelled, seen = bench.ask()
    resumed, _ = bench.ask()
    for handle in (paused, resumed):
        handle.pause()
    resumed.resume()
    cancelled.cancel()
    cancelled.cancel()
    bench.made[0].ready()
    one, two = bench.made[0].running
    assert one.steered == ["pause"] and two.steered == []
    paused.resume()
    paused.cancel()
    one.answer("late")
    assert one.steered == ["pause", "resume", "cancel"] and seen == []
    two.finish()
    assert bench.pool.loaded()[0].active == 0


def test_an_unload_is_no_crash_and_says_so_to_those_it_hits() -> None:
    bench = Bench()
    worker = bench.up()
    _, running = bench.ask()
    done: list[Any] = []
    bench.pool.unload("m").addCallback(done.append)
    assert done == [True] and running[-1].error.code == "worker_stopped"
    assert bench.noticed == [("unloaded", "m")] and worker.left == 1
    bench.pool.unload("m").addCallback(done.append)
    bench.pool.unload("nobody").addCallback(done.append)
    assert done == [True, False, False]


def test_stop_ends_everything_and_takes_nothing_more() -> None:
    bench = Bench()
    up, starting = bench.up("a"), None
    _, running = bench.ask("a")
    _, waiting = bench.ask("b")
    starting = bench.made[-1]
    up.ends_at_once = starting.ends_at_once = False
    done: list[Any] = []
    bench.pool.stop().addCallback(done.append)
    assert running[-1].error.code == waiting[-1].error.code == "node_stopping"
    up.exit()
    assert done == []
    starting.exit()
    assert done == [None]
    _, late = bench.ask("a")
    assert late[0].error.code == "node_stopping" and len(bench.made) == 2
    assert bench.clock.getDelayedCalls() == [] and ("crashed", "a") not in bench.noticed


def test_a_back_end_that_is_not_there_is_named() -> None:
    bench = Bench()
    seen: list[Any] = []
    sink = type("Sink", (), {"event": staticmethod(seen.append)})()
    handle = bench.pool.generate(ModelCard("m", "gpu"), GenerationRequest("r", "m", RawText("")), sink)
    handle.pause(), handle.resume(), handle.cancel()
    assert seen[0].error.code == "backend_missing" and "'gpu'" in seen[0].error.message


def test_preload_loads_and_its_failure_is_kept_for_who_asks() -> None:
    bench = Bench()
    bench.pool.preload(ModelCard("m", "scripted"))
    bench.made[0].ready()
    assert bench.pool.loaded()[0].state == "ready"
    bench.pool.preload(ModelCard("n", "gpu"))
    bench.pool.preload(ModelCard("o", "scripted"))
    bench.made[1].loading.errback(Refused("bad", code="bad_model_file"))
    assert bench.ask("o")[1][0].error.code == "bad_model_file"


def test_who_is_told_of_the_end_may_ask_again_at_once() -> None:
    bench = Bench()
    worker = bench.up()
    seen: list[Any] = []

    class Again:
        def event(self, event: Any) -> None:
            seen.append(event)
            if len(seen) == 1:
                bench.pool.generate(
                    ModelCard("m", "scripted"), GenerationRequest("r", "m", RawText("")), self
                )

    bench.pool.generate(ModelCard("m", "scripted"), GenerationRequest("r", "m", RawText("")), Again())
    worker.running[0].finish()
    assert len(worker.running) == 2


def test_who_is_told_of_a_crash_may_ask_again_at_once() -> None:
    bench = Bench()
    worker = bench.up()
    seen: list[Any] = []
    card, request = ModelCard("m", "scripted"), GenerationRequest("r", "m", RawText(""))

    class Again:
        def event(self, event: Any) -> None:
            seen.append(event)
            if isinstance(event, Failed):
                bench.pool.generate(card, request, self)

    bench.pool.generate(card, request, Again())
    worker.running[0].answer("half")
    worker.crash()
    assert len(worker.running) == 1 and len(bench.made) == 2
    bench.made[1].ready()
    bench.made[1].running[0].finish()
    assert isinstance(seen[-1], Finished) and bench.noticed[0] == ("crashed", "m")


@pytest.mark.parametrize("moment", ["starting", "ready"])
def test_a_model_moved_to_another_file_is_loaded_from_there_next(moment: str) -> None:
    bench = Bench()
    sink = type("Sink", (), {"event": staticmethod(lambda event: None)})()
    request = GenerationRequest("r", "m", RawText(""))
    bench.pool.generate(ModelCard("m", "scripted", "/one"), request, sink)
    if moment == "ready":
        bench.made[0].ready()
    bench.pool.unload("m")
    bench.pool.generate(ModelCard("m", "scripted", "/two"), request, sink)
    assert [worker.spec.path for worker in bench.made] == ["/one", "/two"]
