"""A pipeline over workers that are not there: questions, answers and losses find their way."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from swarmnode.driving.pipeline import Pipeline
from swarmnode.protocols.pipeline import vocabulary as words
from swarmnode.protocols.pipeline.head import STALL_SECONDS, Answer, PipelineHead
from swarmnode.protocols.worker.messages import Message
from swarmnode.protocols.worker.tokens import ids_bytes
from swarmnode.values.errors import LocalFault, Refused, Unavailable
from swarmnode.values.generation import Sampling, sampling_as_dict
from swarmnode.values.layers import LayerRange
from swarmnode.workers.worker_stage import WorkerStage

RANGES = (LayerRange(0, 1), LayerRange(1, 2))
SAMPLER = words.Sampler(Sampling(seed=1), 1, 0, None, 3)
SAID = {"sampling": sampling_as_dict(Sampling(seed=1)), "seed": 1, "choice": 0, "logprobs": None, "prompt": 3}
GONE = LocalFault("killed", code="worker_lost")


class Worker:
    """Answers at once, or when told; its rows are zeros, its tokens count upwards from 10."""

    def __init__(self, pid: int, last: bool) -> None:
        self.pid, self.last = pid, last
        self.asked: list[tuple[str, dict, bytes]] = []
        self.trouble: Any = None
        self.killed = False

    def call(self, kind: str, header: dict, payload: Any) -> Deferred[Message]:
        self.asked.append((kind, header, bytes(payload)))
        if self.trouble is not None:
            return self.trouble() if callable(self.trouble) else fail(self.trouble)
        if kind != "step":
            return succeed(Message("done"))
        if not self.last:
            return succeed(Message("step_result", {}, bytes(8 * header["count"])))
        drawn = (
            {"token": 10 + header["first"], "logprob": -0.5, "top": [[1, -0.5]]} if header["sample"] else {}
        )
        return succeed(Message("step_result", drawn))

    def kill(self) -> None:
        self.killed = True


class Bench:
    def __init__(self) -> None:
        self.clock = Clock()
        self.workers: list[Worker] = []
        self.no_worker: Any = None
        self.trouble: dict[int, Any] = {}
        self.results: list[Any] = []
        head = PipelineHead(Answer((5, 6, 7), 3, frozenset()), RANGES, row_bytes=8, chunk=2)
        self.stages: list[WorkerStage] = []
        self.pipeline = Pipeline(self.clock, "s", head, self.find, SAMPLER)

    def find(self, index: int, layers: LayerRange) -> Deferred[Any]:
        if self.no_worker:
            return fail(self.no_worker)
        worker = Worker(100 + len(self.workers), layers == RANGES[-1])
        worker.trouble = self.trouble.pop(len(self.workers), None)
        self.workers.append(worker)
        self.stages.append(WorkerStage(worker.call, "s", worker.kill))
        return succeed(self.stages[-1])

    def run(self) -> Any:
        self.pipeline.run().addBoth(self.results.append)
        return self.results[0] if self.results else None


def test_an_answer_over_two_workers() -> None:
    bench = Bench()
    answer = bench.run()
    assert answer.ids == (12, 13, 14) and answer.reason == "length"
    assert answer.drawn[0] == words.Drawn(12, -0.5, ((1, -0.5),))
    first, last = bench.workers
    assert first.asked[0] == ("open_session", {"tokens": 6, "session": "s", "epoch": 0}, b"")
    opened = {"tokens": 6, "sampler": SAID, "session": "s", "epoch": 0}
    assert last.asked[0] == ("open_session", opened, ids_bytes((5, 6, 7)))
    about = {"first": 0, "count": 2, "sample": False, "session": "s", "epoch": 0}
    assert first.asked[1] == ("step", {**about, "dtype": "i4", "shape": [2]}, ids_bytes((5, 6)))
    assert last.asked[1] == ("step", {**about, "dtype": "f4", "shape": [2, 2]}, bytes(16))
    assert first.asked[-1][0] == last.asked[-1][0] == "close_session"
    assert bench.clock.getDelayedCalls() == []


def test_a_worker_that_is_lost_is_replaced() -> None:
    bench = Bench()
    bench.trouble[0] = GONE
    assert bench.run().ids == (12, 13, 14)
    assert len(bench.workers) == 3 and bench.workers[2].asked[0][1]["epoch"] == 1


def test_a_stale_answer_is_no_loss() -> None:
    bench = Bench()
    assert bench.run() is not None
    worker = bench.workers[0]
    worker.trouble = Refused("old", code="old_epoch")
    bench.pipeline._step(words.SendStep("0/0", 0, 0, 1, (5,), b"", False))
    assert len(bench.workers) == 2


def test_no_worker_to_be_had_fails_with_the_reason() -> None:
    for error, code in (
        (Unavailable("full", code="memory_busy"), "memory_busy"),
        (OSError("x"), "internal_error"),
    ):
        bench = Bench()
        bench.no_worker = error
        assert bench.run().value.code == code


def test_a_worker_without_progress_is_killed_and_one_with_some_is_not() -> None:
    bench = Bench()
    bench.trouble[0] = Deferred
    assert bench.run() is None
    silent = bench.workers[0]
    bench.clock.advance(STALL_SECONDS - 1)
    bench.stages[0].heard()
    bench.clock.advance(STALL_SECONDS - 1)
    assert not silent.killed
    bench.clock.advance(2)
    assert silent.killed and bench.results[0].ids == (12, 13, 14)


def test_stop_gives_what_came_so_far() -> None:
    bench = Bench()
    bench.trouble[1] = Deferred
    bench.run()
    bench.pipeline.stop()
    assert bench.results[0].ids == () and bench.results[0].reason == "cancelled"
