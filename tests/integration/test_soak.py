"""A real worker under a long, mixed load: equal answers for equal seeds, nothing stuck, nothing left."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib import resources
from itertools import takewhile
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from swarmnode.inference.worker import MEASURE_SECONDS
from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.generation import (
    ChoiceFinished,
    Failed,
    Finished,
    GenerationRequest,
    RawText,
    Sampling,
    TextDelta,
    TokenIds,
)
from swarmnode.values.loading import LoadSpec
from swarmnode.workers.process import WorkerProcess

GUIDE = Path(str(resources.files("swarmnode"))) / "inference/guide/guide.gguf"
FACTORY = "swarmnode.inference.serving:make_engine"
#: Keys and values of 64 positions of the guide model: 6 layers, 2 heads of 32 numbers, f16, both of them.
PAGE_BYTES = 6 * 2 * 32 * 64 * 2 * 2
#: Room for three sessions of the whole context (512), of which shared blocks may take a third of one.
CONTEXT, SESSIONS, PAGES, SHARED_PAGES = 512, 3, 24, 3
SLOTS, UNDER_WAY, QUESTIONS = 4, 20, 90
#: What a worker may grow by once it has seen everything: the allocator's waste, not a leak of 700 requests
#: (the keys and values of one request alone are 100 to 800 KB).
GROWTH_BYTES = 6 << 20
STUCK_SECONDS = 60.0
WORDS = (
    "the",
    "node",
    "a",
    "model",
    "page",
    "key",
    "stop",
    "start",
    "swarm",
    "layer",
    "prompt",
    "file",
    "is",
)
#: Each begins some questions, so that their blocks are shared; together they are more than are kept.
OPENINGS = [" ".join(Random(number).choices(WORDS, k=90)) for number in range(5)]
BAD: dict[str, GenerationRequest] = {
    "context_length_exceeded": GenerationRequest("r", "m", RawText("many words " * 2000)),
    "bad_token": GenerationRequest("r", "m", TokenIds((1, 2, 1 << 20))),
    "empty_prompt": GenerationRequest("r", "m", TokenIds(())),
}

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")


def question(rng: Random, ends: tuple[tuple[int, float], ...]) -> GenerationRequest:
    """A request whose answer is a function of the request: its seed is given, or it is greedy."""
    words = rng.choices(WORDS, k=rng.choice([1, 2, 6, 30, 70]))
    text = " ".join(([rng.choice(OPENINGS)] if rng.random() < 0.5 else []) + words)
    sampling = Sampling(
        temperature=rng.choice([0.0, 0.7, 1.3]),
        top_p=rng.choice([1.0, 0.9]),
        top_k=rng.choice([0, 40]),
        min_p=rng.choice([0.0, 0.05]),
        **{name: rng.choice([0.0, 0.5]) for name in ("frequency_penalty", "presence_penalty")},
        repetition_penalty=rng.choice([1.0, 1.2]),
        seed=rng.randrange(1 << 64),
        logit_bias=rng.choice([(), ends]),  # without an end most answers are as long as they may be
    )
    return GenerationRequest(
        "r",
        "m",
        RawText(text),
        sampling,
        max_tokens=rng.choice([1, 5, 12, 30, 60, 100]),
        stop=rng.choice([(), (), ("the", ". ")]),
        n=rng.choice([1, 1, 1, 2, 3, 4]),
        logprobs=rng.choice([None, None, 0, 3]),
    )


@dataclass
class Plan:
    """What is done with one request. leave, rest: after so many texts, None for never."""

    request: GenerationRequest
    key: int
    leave: int | None = None
    rest: int | None = None
    wrong: str = ""


def plans(seed: int, count: int, ends: tuple[tuple[int, float], ...]) -> list[Plan]:
    rng = Random(seed)
    questions = [question(rng, ends) for _ in range(QUESTIONS)]
    return [plan(rng, questions) for _ in range(count)]


def plan(rng: Random, questions: list[GenerationRequest]) -> Plan:
    if rng.random() < 0.04:
        code = rng.choice(sorted(BAD))
        return Plan(BAD[code], -1, wrong=code)
    key = rng.randrange(len(questions))
    session = f"talk {rng.randrange(8)}" if rng.random() < 0.35 else None
    made = Plan(replace(questions[key], session_id=session), key)
    if rng.random() < 0.2:
        made.leave = rng.choice([0, 0, 1, 3, 10])
    elif rng.random() < 0.15:
        made.rest = rng.choice([0, 1, 4])
    return made


@dataclass
class Reader:
    """A client: takes the events of one request, goes away or rests when its plan says so."""

    plan: Plan
    over: Callable[[Reader], None]
    generation: Any = None
    texts: dict[int, str] = field(default_factory=dict)
    count: int = 0
    end: Finished | Failed | None = None
    left: bool = False
    resting: bool = False

    def event(self, event: Any) -> None:
        assert not self.left and self.end is None, f"{event} after the end"
        if isinstance(event, TextDelta | ChoiceFinished):
            self.texts[event.choice] = self.texts.get(event.choice, "") + getattr(event, "text", "")
            self.count += 1
        elif isinstance(event, Finished | Failed):
            self.end = event
            self.over(self)
            return
        self.behave()

    def behave(self) -> None:
        if self.generation is None:
            return  # it comes from within `generate`
        if self.plan.leave is not None and self.count >= self.plan.leave:
            self.left = True
            self.generation.cancel()
            self.over(self)
        elif self.plan.rest is not None and self.count >= self.plan.rest and not self.resting:
            self.resting = True
            self.generation.pause()

    def wake(self) -> None:
        if self.resting:
            self.plan.rest, self.resting = None, False
            self.generation.resume()


@dataclass
class Listener:
    """Takes events and nothing else."""

    event: Callable[[Any], None]


class Load:
    """Keeps `UNDER_WAY` requests going until all plans are done; compares answers with earlier ones."""

    def __init__(self, worker: WorkerProcess, work: list[Plan]) -> None:
        self.worker, self.work = worker, iter(work)
        self.going: list[Reader] = []
        self.known: dict[int, dict[int, str]] = {}
        self.begun: list[tuple[int, dict[int, str]]] = []
        self.ended = self.compared = 0
        self.faults: list[str] = []
        self.done: Deferred[None] = Deferred()

    def begin(self) -> None:
        while len(self.going) < UNDER_WAY and (plan := next(self.work, None)) is not None:
            reader = Reader(plan, self.over)
            self.going.append(reader)
            reader.generation = self.worker.generate(plan.request, reader)
            reader.behave()
        if not self.going and not self.done.called:
            self.done.callback(None)

    def over(self, reader: Reader) -> None:
        self.going.remove(reader)
        self.ended += 1
        self.check(reader)
        if self.ended % 3 == 0 or all(one.resting for one in self.going):
            for one in self.going:
                one.wake()
        reactor.callLater(0, self.begin)

    def check(self, reader: Reader) -> None:
        plan, end = reader.plan, reader.end
        if reader.left:
            self.begun.append((plan.key, reader.texts))
        elif plan.wrong:
            if not isinstance(end, Failed) or end.error.code != plan.wrong:
                self.faults.append(f"{plan.wrong}: {end}")
        elif isinstance(end, Failed):
            self.faults.append(f"{end.error.code}: {end.error.message}")
        elif set(reader.texts) != set(range(plan.request.n)):
            self.faults.append(f"choices {sorted(reader.texts)} of {plan.request.n}")
        else:
            known = self.known.setdefault(plan.key, reader.texts)
            self.compared += known is not reader.texts
            if known != reader.texts:
                self.faults.append(f"{plan.request}: {known} is now {reader.texts}")

    def half_answers(self) -> list[str]:
        """What cancelled requests had said that is not the beginning of what they say in full."""
        return [
            f"{text!r} does not begin {self.known[key][choice]!r}"
            for key, texts in self.begun
            for choice, text in texts.items()
            if key in self.known and not self.known[key][choice].startswith(text)
        ]


class Measured(NamedTuple):
    """What a process holds. anonymous: bytes of memory."""

    anonymous: int
    threads: int
    files: int


def measured(pid: int) -> Measured:
    status = Path(f"/proc/{pid}/status").read_text()
    lines = dict(line.split(":", 1) for line in status.splitlines())
    files = len(os.listdir(f"/proc/{pid}/fd"))
    return Measured(int(lines["RssAnon"].split()[0]) << 10, int(lines["Threads"]), files)


async def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + STUCK_SECONDS
    while not condition():
        assert time.monotonic() < end, what
        await deferLater(reactor, 0.02)


class WorkerSoak(TestCase):
    timeout = 170

    def setUp(self) -> None:
        self.lost: list[SwarmnodeError] = []
        self.worker = WorkerProcess(reactor, "m", self.lost.append)

    async def tearDown(self) -> None:
        await self.worker.leave()

    async def soak(self, count: int, measure_at: int) -> tuple[Load, Measured, Measured]:
        spec = LoadSpec(
            "m",
            str(GUIDE),
            context=CONTEXT,
            slots=SLOTS,
            kv_bytes=PAGES * PAGE_BYTES,
            prefix_bytes=SHARED_PAGES * PAGE_BYTES,
        )
        told = await self.worker.load(spec, FACTORY)
        self.no_ends = tuple((token, -100.0) for token in told["eos_ids"])
        assert told["profile"] == "cpu-1:kv=f16:residual=f16", told["profile"]
        load = Load(self.worker, plans(count, count, self.no_ends))
        load.begin()
        await self.moving(load, lambda: load.ended >= measure_at)
        first = measured(self.worker.pid)
        await self.moving(load, lambda: load.done.called)
        assert not load.faults, "\n".join(load.faults[:5])
        assert self.lost == [] and self.worker.active == 0
        assert load.ended == count and load.half_answers() == []
        # What is reserved still belongs to conversations that wait for their next turn.
        await self.tells(lambda: self.told("running", "waiting") == (0, 0), "the engine is not idle")
        assert self.told("kv_reserved_bytes")[0] <= PAGES * PAGE_BYTES
        await self.all_room_is_free()
        await self.tells(lambda: self.told("kept_sessions", "kv_reserved_bytes") == (0, 0), "room is lost")
        return load, first, measured(self.worker.pid)

    async def tells(self, condition: Callable[[], bool], what: str) -> None:
        """Until what the worker says of its engine, once a second, is so; not what it said before."""
        await deferLater(reactor, 1.5 * MEASURE_SECONDS)
        await until(condition, f"{what}: {self.worker.stats}")

    def told(self, *names: str) -> tuple[int, ...]:
        return tuple(self.worker.stats["load"][name] for name in names)

    async def moving(self, load: Load, condition: Callable[[], bool]) -> None:
        """Until the condition holds; fails when no request ends for `STUCK_SECONDS`."""
        while not condition():
            ended = load.ended
            await until(lambda: load.ended > ended or condition(), f"stuck after {ended}: {load.going}")  # noqa: B023

    async def all_room_is_free(self) -> None:
        """As many whole contexts as there is room for go on side by side: one page too few, and the last
        would begin only when another one has ended."""
        no_end = Sampling(temperature=0.0, logit_bias=self.no_ends)
        request = GenerationRequest("r", "m", RawText("x"), no_end, n=SESSIONS)
        events: list[Any] = []
        self.worker.generate(request, Listener(events.append))
        await until(lambda: bool(events) and isinstance(events[-1], Finished | Failed), "the last is stuck")
        assert isinstance(events[-1], Finished), events[-1]
        before_an_end = takewhile(lambda event: not isinstance(event, ChoiceFinished), events)
        spoke = {event.choice for event in before_an_end if isinstance(event, TextDelta)}
        assert spoke == set(range(SESSIONS))
        assert events[-1].usage.completion_tokens > SESSIONS * 450


class TestSoak(WorkerSoak):
    async def test_a_hundred_mixed_requests(self) -> None:
        load, first, last = await self.soak(100, 60)
        assert load.compared > 5
        assert last[1:] == first[1:]  # threads and files

    @pytest.mark.slow
    async def test_a_thousand_mixed_requests_leave_nothing(self) -> None:
        load, first, last = await self.soak(1000, 300)
        assert load.compared > 500
        assert last[1:] == first[1:]  # threads and files
        assert last.anonymous - first.anonymous < GROWTH_BYTES, (first, last)
        counts = self.worker.stats["prefix_cache"]
        assert counts["evicted"] > 0 and counts["hits"] > 0
