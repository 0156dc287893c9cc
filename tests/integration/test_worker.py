"""Real worker processes: answers, steering, crashes, long prompts, and that nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from swarmnode.observability.machine import machine_facts
from swarmnode.protocols.worker.messages import CREDIT
from swarmnode.values.cards import ModelCard
from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.generation import (
    Conversation,
    Failed,
    Finished,
    GenerationRequest,
    Message,
    RawText,
    Sampling,
    Started,
    TextDelta,
    request_as_dict,
)
from swarmnode.values.loading import LoadSpec
from swarmnode.values.settings import WorkerSettings
from swarmnode.workers.pool import WorkerPool
from swarmnode.workers.process import WorkerProcess

SHARED = Path(os.environ.get("SWARMNODE_SHARED", Path(__file__).resolve().parents[3] / "shared"))
STORIES = SHARED / "data/stories260K/stories260K.f32.gguf"
SCRIPTED, REAL = "swarmnode.inference.scripted:make_engine", "swarmnode.inference.serving:make_engine"
GREEDY = Sampling(temperature=0.0)

needs_stories = pytest.mark.skipif(not STORIES.is_file(), reason=f"{STORIES} is not there")


class Reader:
    """A sink; `done` fires with the last event, `after(n)` when n text deltas have come."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.done: Deferred[Any] = Deferred()
        self._waits: list[tuple[int, Deferred[None]]] = []

    @property
    def texts(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, TextDelta)]

    def event(self, event: Any) -> None:
        self.events.append(event)
        for wait in [wait for wait in self._waits if len(self.texts) >= wait[0]]:
            self._waits.remove(wait)
            wait[1].callback(None)
        if isinstance(event, Finished | Failed):
            self.done.callback(event)

    def after(self, count: int) -> Deferred[None]:
        wait: Deferred[None] = Deferred()
        self._waits.append((count, wait))
        return wait


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for a condition; fails after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        await deferLater(reactor, 0.01)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def children(parent: int) -> list[int]:
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdecimal() and not gone(int(place.name)):
            try:
                stat = (place / "stat").read_text()
            except OSError:
                continue
            if int(stat.rsplit(")", 1)[1].split()[1]) == parent:
                found.append(int(place.name))
    return found


def request(prompt: Any = "hello there", **fields: Any) -> GenerationRequest:
    return GenerationRequest("r", "m", RawText(prompt) if isinstance(prompt, str) else prompt, **fields)


def card(label: str = "m", backend: str = "scripted", path: str = "") -> ModelCard:
    return ModelCard(label, backend, path)


class WorkerCase(TestCase):
    """Every test ends with no worker left."""

    timeout = 100

    def setUp(self) -> None:
        self.others = set(children(os.getpid()))  # tests of other files may have left theirs
        self.lost: list[SwarmnodeError] = []
        self.workers: list[WorkerProcess] = []
        self.pools: list[WorkerPool] = []

    async def tearDown(self) -> None:
        for pool in self.pools:
            await pool.stop()
        for worker in self.workers:
            await worker.leave()
        assert set(children(os.getpid())) <= self.others

    async def worker(
        self, options: dict[str, Any] | None = None, way: str = "auto", **spec: Any
    ) -> WorkerProcess:
        worker = WorkerProcess(reactor, "m", self.lost.append, way=way)
        self.workers.append(worker)
        factory = REAL if "path" in spec else SCRIPTED
        await worker.load(LoadSpec("m", **{"path": "", "options": options or {}, **spec}), factory)
        return worker

    def pool(self, options: dict[str, Any] | None = None, **settings: Any) -> WorkerPool:
        pool = WorkerPool(
            reactor,
            WorkerSettings(**settings),
            {"scripted": SCRIPTED, "cpu": REAL, "numpy": REAL},
            machine=machine_facts,
            options=lambda card: options or {},
        )
        self.pools.append(pool)
        return pool


class TestLink(WorkerCase):
    async def test_a_worker_answers_over_a_socket_pair_and_over_loopback(self) -> None:
        for way in ("pair", "tcp"):
            worker = await self.worker({"echo": True}, way)
            reader = Reader()
            worker.generate(request("one two three"), reader)
            assert isinstance(await reader.done, Finished)
            assert reader.texts == ["one", " two", " three"]
            assert worker.pid in children(os.getpid())

    async def test_a_load_that_fails_says_why(self) -> None:
        for spec, code in (
            ({"options": {"fault": {"kind": "load"}}}, "scripted_fault"),
            ({"path": __file__}, "bad_model_file"),
        ):
            with pytest.raises(SwarmnodeError) as caught:
                await self.worker(**spec)
            assert caught.value.code == code

    async def test_a_back_end_that_is_missing_is_named(self) -> None:
        worker = WorkerProcess(reactor, "m", self.lost.append)
        self.workers.append(worker)
        with pytest.raises(SwarmnodeError, match="no_such_package"):
            await worker.load(LoadSpec("m", ""), "no_such_package:engine")

    async def test_cancel_stops_the_work_and_nothing_more_comes(self) -> None:
        worker = await self.worker({"say": "word " * 100_000}, slots=1)
        reader = Reader()
        generation = worker.generate(request(), reader)
        await reader.after(5)
        generation.cancel()
        count = len(reader.events)
        other = Reader()
        worker.generate(request(max_tokens=300), other)
        assert isinstance(await other.done, Finished)
        assert len(reader.events) == count and worker.active == 0
        await until(lambda: "progress" in worker.stats)
        progress = worker.stats["progress"]
        await until(lambda: worker.stats["progress"] == progress)
        assert progress < 10_000, "the cancelled request went on"

    async def test_a_slow_reader_pauses_its_own_stream_only(self) -> None:
        worker = await self.worker({"say": "word " * 2000})
        slow, quick = Reader(), Reader()
        generation = worker.generate(request(), slow)
        generation.pause()
        worker.generate(request(), quick)
        assert isinstance(await quick.done, Finished)
        assert len(quick.texts) == 2001
        assert CREDIT - 1 <= len(slow.events) <= CREDIT + 2
        generation.resume()
        assert isinstance(await slow.done, Finished)
        assert "".join(slow.texts) == "word " * 2000

    async def test_two_hundred_streams_at_once(self) -> None:
        worker = await self.worker({"echo": True})
        readers = [Reader() for _ in range(200)]
        for number, reader in enumerate(readers):
            worker.generate(request(f"stream {number} " * 20), reader)
        for number, reader in enumerate(readers):
            assert isinstance(await reader.done, Finished)
            assert "".join(reader.texts) == f"stream {number} " * 20

    async def test_what_a_taker_does_wrong_is_its_own_loss(self) -> None:
        worker = await self.worker({"say": "a b c"})

        class Bad:
            def event(self, event: Any) -> None:
                raise ValueError("cannot take it")

        worker.generate(request(), Bad())
        reader = Reader()
        worker.generate(request(), reader)
        assert isinstance(await reader.done, Finished) and worker.active == 0


class TestCrashes(WorkerCase):
    async def test_a_killed_worker_fails_its_request_clearly_and_the_next_one_works(self) -> None:
        pool = self.pool({"say": "word " * 500, "tokens_per_second": 200})
        reader = Reader()
        pool.generate(card(), request(), reader)
        await reader.after(3)
        os.kill(pool.loaded()[0].pid, signal.SIGKILL)
        failed = await reader.done
        assert failed.error.code == "worker_lost" and "killed by signal 9" in failed.error.message
        after = Reader()
        generation = pool.generate(card(), request(), after)
        await after.after(3)
        generation.cancel()

    async def test_a_worker_killed_before_the_first_token_is_replaced_unseen(self) -> None:
        pool = self.pool({"load_seconds": 0.2, "say": "a b c", "tokens_per_second": 5})
        pool.preload(card())
        await until(lambda: pool.loaded()[0].state == "ready")
        first = pool.loaded()[0].pid
        reader = Reader()
        pool.generate(card(), request(), reader)
        os.kill(first, signal.SIGKILL)
        assert isinstance(await reader.done, Finished)
        assert reader.texts == ["a", " b", " c"] and pool.loaded()[0].pid != first

    async def test_a_broken_engine_says_what_broke_it(self) -> None:
        worker = await self.worker({"fault": {"kind": "exception", "after": 2}})
        reader = Reader()
        worker.generate(request(), reader)
        failed = await reader.done
        assert failed.error.code == "engine_failed" and "told to raise" in failed.error.message
        await worker.exited
        assert self.lost[0].code == "engine_failed"

    async def test_an_engine_that_hangs_is_ended_all_the_same(self) -> None:
        worker = await self.worker({"fault": {"kind": "hang"}})
        reader = Reader()
        worker.generate(request(), reader)
        await until(lambda: len(children(worker.pid)) == 0 and worker.active == 1)
        await worker.leave()
        assert gone(worker.pid) and self.lost == []
        assert (await reader.done).error.code == "worker_stopped"

    async def test_a_stopped_process_is_killed_in_the_end(self) -> None:
        worker = await self.worker()
        os.kill(worker.pid, signal.SIGSTOP)
        await worker.leave()
        assert gone(worker.pid)

    async def test_stop_signals_do_not_end_a_worker(self) -> None:
        worker = WorkerProcess(reactor, "m", self.lost.append)
        self.workers.append(worker)
        for number in (signal.SIGINT, signal.SIGTERM):  # from its very first moment on
            os.kill(worker.pid, number)
        await worker.load(LoadSpec("m", "", options={"say": "a b"}), SCRIPTED)
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(worker.pid, number)
        reader = Reader()
        worker.generate(request(), reader)
        assert isinstance(await reader.done, Finished)

    async def test_twenty_starts_and_stops_leave_nothing(self) -> None:
        def open_files() -> int:
            return len(os.listdir("/proc/self/fd"))

        for way in ("pair", "tcp"):  # Twisted keeps a descriptor in reserve from the first listening on
            await (await self.worker({"say": "a"}, way)).leave()
        files, temporary = open_files(), set(os.listdir(tempfile.gettempdir()))
        others = set(children(os.getpid()))
        for number in range(20):
            worker = await self.worker({"say": "a b"}, "pair" if number % 2 else "tcp")
            reader = Reader()
            worker.generate(request(), reader)
            await reader.done
            await worker.leave()
            assert gone(worker.pid)
        assert set(children(os.getpid())) <= others
        await until(lambda: open_files() <= files)
        ours = [name for name in set(os.listdir(tempfile.gettempdir())) - temporary if "swarm" in name]
        assert ours == []

    async def test_a_load_tells_how_far_it_is_and_can_be_stopped(self) -> None:
        pool = self.pool({"load_seconds": 60.0})
        reader = Reader()
        pool.generate(card(), request(), reader)
        await until(lambda: (pool.loaded()[0].loading or 0) > 0)
        (loading,) = pool.loaded()
        assert loading.state == "starting" and loading.loading < 0.5
        await pool.unload("m")
        assert gone(loading.pid) and pool.loaded() == ()
        assert (await reader.done).error.code == "worker_stopped"

    async def test_memory_comes_back_and_idle_models_go(self) -> None:
        pool = self.pool({"say": "a"}, idle_unload_seconds=1)
        reader = Reader()
        pool.generate(card(), request(), reader)
        await reader.done
        pid = pool.loaded()[0].pid
        await until(lambda: pool.loaded() == () and gone(pid))


@needs_stories
class TestRealModel(WorkerCase):
    async def test_the_published_greedy_text(self) -> None:
        for backend in ("cpu", "numpy"):
            worker = await self.worker(path=str(STORIES), backend=backend, dequantised_bytes=1 << 30)
            reader = Reader()
            worker.generate(request("", sampling=GREEDY, max_tokens=200), reader)
            finished = await reader.done
            wanted = (STORIES.parent / "greedy200.txt").read_text()
            assert "".join(reader.texts).lstrip(" ") == wanted.lstrip(" ")
            assert finished.usage.completion_tokens == 200 and finished.usage.prompt_tokens == 1

    async def test_many_at_once_say_what_each_says_alone(self) -> None:
        worker = await self.worker(path=str(STORIES), dequantised_bytes=1 << 30, slots=3)
        prompts = ["Once", "Lily and the ball were " * 8, "", "The", "A big red dog sat. " * 12]

        async def ask(prompt: str) -> str:
            reader = Reader()
            worker.generate(request(prompt, sampling=Sampling(seed=11), max_tokens=25), reader)
            assert isinstance(await reader.done, Finished)
            return "".join(reader.texts)

        alone = [await ask(prompt) for prompt in prompts]
        together = [Deferred.fromCoroutine(ask(prompt)) for prompt in prompts]
        assert [await answer for answer in together] == alone

    async def test_a_long_prompt_does_not_stop_another_answer(self) -> None:
        worker = await self.worker(path=str(STORIES), dequantised_bytes=1 << 30)
        steady, long = Reader(), Reader()
        generation = worker.generate(request("", sampling=Sampling(seed=1)), steady)
        await steady.after(3)
        before = len(steady.texts)
        worker.generate(request("Once upon a time. " * 230_000), long)
        failed = await long.done
        assert failed.error.code == "context_length_exceeded"
        # A blocked worker would have let at most what lay in the pipe already through.
        assert len(steady.texts) > before + 8 or isinstance(steady.events[-1], Finished)
        generation.cancel()

    async def test_the_next_turn_of_a_session_uses_what_was_kept(self) -> None:
        worker = await self.worker(path=str(STORIES), dequantised_bytes=1 << 30)
        texts = {}
        for session in ("s", None):
            turns = (Message("user", "Tell me of Lily."),)
            for turn in range(2):
                reader = Reader()
                worker.generate(
                    request(Conversation(turns), sampling=GREEDY, max_tokens=20, session_id=session), reader
                )
                finished = await reader.done
                texts[session, turn] = "".join(reader.texts)
                turns = (*turns, Message("assistant", texts[session, turn]), Message("user", "More."))
                if turn:
                    # Without a session only whole blocks are shared, and these turns are short.
                    assert (finished.usage.cached_tokens % 64 > 0) is (session is not None)
                    assert reader.events[0].cached_tokens == finished.usage.cached_tokens
        assert texts["s", 0] == texts[None, 0] and texts["s", 1] == texts[None, 1]

    async def test_text_alone_without_weights(self) -> None:
        worker = await self.worker(path=str(STORIES), weights=False)
        question = json.dumps(request_as_dict(request("Once upon a time"))).encode()
        ids = await worker.call("tokenize", {}, question)
        text = await worker.call("detokenize", {}, bytes(ids.payload[4:]))
        assert bytes(text.payload).decode().strip() == "Once upon a time"
        reader = Reader()
        worker.generate(request(), reader)
        assert (await reader.done).error.code == "partial_model"

    async def test_an_answer_reports_seed_profile_and_times(self) -> None:
        for backend, kv, profile in (
            ("cpu", "f16", "cpu-1:kv=f16"),
            ("cpu", "f32", "cpu-1:kv=f32"),
            ("cpu", "q8_0", "cpu-1:kv=q8_0"),
            ("numpy", "f16", "numpy-1/"),
        ):
            worker = await self.worker(path=str(STORIES), backend=backend, kv=kv)
            reader = Reader()
            worker.generate(request("Once", max_tokens=5, n=2, logprobs=3), reader)
            finished = await reader.done
            started = reader.events[0]
            assert isinstance(started, Started) and started.seed > 0 and started.profile.startswith(profile)
            assert finished.usage.completion_tokens == 10 and finished.timings.decode_ms > 0
            probabilities = [p for e in reader.events if isinstance(e, TextDelta) for p in e.logprobs]
            assert len(probabilities) == 10 and all(len(p.top) == 3 for p in probabilities)

    async def test_a_type_of_keys_and_values_that_the_reference_lacks_is_named(self) -> None:
        with pytest.raises(SwarmnodeError, match="q8_0"):
            await self.worker(path=str(STORIES), backend="numpy", kv="q8_0")

    async def test_unloading_ends_the_process_that_held_the_memory(self) -> None:
        pool = self.pool()
        stories = card("stories", "cpu", str(STORIES))
        reader = Reader()
        pool.generate(stories, request("Once", max_tokens=2), reader)
        assert isinstance(await reader.done, Finished)
        (loaded,) = pool.loaded()
        assert loaded.profile.startswith("cpu-1:") and not gone(loaded.pid)
        assert await pool.unload("stories")
        assert gone(loaded.pid) and pool.loaded() == ()
