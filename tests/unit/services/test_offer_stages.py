"""Stages for peers, and stages of peers: both ends on one clock, without models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from swarmnode.driving.pipeline import Pipeline
from swarmnode.protocols.pipeline import vocabulary as words
from swarmnode.protocols.pipeline.head import Answer, PipelineHead
from swarmnode.protocols.pipeline.stage_messages import StageWish
from swarmnode.protocols.swarm.frames import Tag, frame
from swarmnode.protocols.swarm.ids import protocol_id
from swarmnode.protocols.swarm.messages import KINDS
from swarmnode.protocols.swarm.request_frames import Question, Result, encode
from swarmnode.protocols.swarm.requests import STAGE
from swarmnode.services import offer_stages
from swarmnode.services.offer_stages import MAX_PEER_SESSIONS, MAX_RANGES, OfferStages
from swarmnode.services.stage_session import IDLE_SECONDS, OPEN_SECONDS
from swarmnode.services.use_stage import RemoteStage
from swarmnode.testing.fake_host import DELAY, FakeNetwork
from swarmnode.values.cards import ModelCard, ModelFacts
from swarmnode.values.errors import LocalFault, PeerFault, Refused, SwarmnodeError, Unavailable
from swarmnode.values.generation import Sampling
from swarmnode.values.layers import LayerRange

HIDDEN = 4
ROW = 4 * HIDDEN
FACTS = ModelFacts("llama", 4, HIDDEN, 2, 2, 2, 256, 512, "F16", 4000)
CARD = ModelCard("m", "cpu", "/m.gguf", facts=FACTS)
MODEL = bytes(range(32))
PROFILE = "cpu-1:kv=f16:residual=f16"
SAMPLER = words.Sampler(Sampling(temperature=0.0), 0, 0, None, 3)
LAST, FIRST = LayerRange(2, 4), LayerRange(0, 2)


class Lease:
    """Computes at once, or when told: rows that count, tokens from 10 upwards."""

    def __init__(self, bench: Bench, layers: LayerRange, name: str) -> None:
        self.bench, self.layers, self.name = bench, layers, name
        self.heard: Any = lambda: None
        self.description: Mapping[str, Any] = {"profile": PROFILE, "context_length": 64}
        self.opened: Any = None
        self.sampler: Any = None
        self.steps: list[words.SendStep] = []
        self.over = False
        self.trouble: SwarmnodeError | None = None
        self.held: Deferred[Any] | None = None
        self.loading: Deferred[Any] = Deferred()
        if not bench.slow:
            self.loading.callback(self)

    def ready(self) -> Deferred[Any]:
        return self.loading

    def open(self, opening: words.OpenSession, sampler: words.Sampler) -> Deferred[Any]:
        self.opened, self.sampler = opening, sampler
        return fail(self.trouble) if self.trouble else succeed(None)

    def step(self, step: words.SendStep) -> Deferred[words.StageResult]:
        self.steps.append(step)
        if self.trouble:
            return fail(self.trouble)
        rows, drawn = b"", None
        if self.layers.end == FACTS.layers:
            drawn = words.Drawn(9 + step.first + step.count, -0.5) if step.sample else None
        else:
            rows = bytes(ROW * step.count)
        result = words.StageResult(step.stage, step.epoch, step.first, step.count, rows, drawn)
        if self.held is not None:
            return self.held.addCallback(lambda _: result)
        return succeed(result)

    def close(self) -> None:
        self.over = True


class Models:
    def find(self, digest: bytes) -> Deferred[ModelCard]:
        if digest != MODEL:
            return fail(Refused("no copy", code="no_such_model"))
        return succeed(CARD)


class Bench:
    """Ada is the head, Bob offers stages."""

    def __init__(self, network_id: str = "", **options: Any) -> None:
        self.clock = Clock()
        self.slow = False
        self.leases: list[Lease] = []
        self.network = FakeNetwork(self.clock)
        self.ada = self.network.host("/ip4/10.0.0.1/tcp/1")
        self.bob = self.network.host("/ip4/10.0.0.2/tcp/1")
        self.network.join(self.ada, self.bob, self.bob.listening[0])
        self.faults: list[tuple[str, str]] = []
        self.offer = OfferStages(
            self.bob,
            self.clock,
            network_id,
            Models(),  # type: ignore[arg-type]
            self.lease,
            penalise=lambda peer, error: self.faults.append((peer, error.code)),
            **options,
        )
        self.offer.start()

    def lease(self, card: ModelCard, layers: LayerRange, name: str) -> Lease:
        assert card is CARD
        self.leases.append(Lease(self, layers, name))
        return self.leases[-1]

    def wait(self, seconds: float = 6 * DELAY) -> None:
        for _ in range(round(seconds / DELAY)):
            self.clock.advance(DELAY)

    def stage(self, layers: LayerRange = LAST, **changes: Any) -> RemoteStage:
        wish = StageWish(changes.get("model", MODEL), layers, changes.get("profile", PROFILE))
        blamed = changes.get("penalise", lambda peer, error: self.faults.append((peer, error.code)))
        return RemoteStage(
            self.ada, self.clock, changes.get("network", ""), self.bob.peer_id, wish, ROW, blamed
        )

    def open(self, stage: RemoteStage, layers: LayerRange = LAST, capacity: int = 16) -> list[Any]:
        tokens = (5, 6, 7) if layers is LAST else None
        return self.outcome(stage.open(words.OpenSession("s", 0, layers, capacity, tokens), SAMPLER))

    def outcome(self, deferred: Deferred[Any]) -> list[Any]:
        seen: list[Any] = []
        deferred.addCallbacks(seen.append, lambda failure: seen.append(failure.value))
        self.wait()
        return seen

    def opened(self, layers: LayerRange = LAST) -> RemoteStage:
        stage = self.stage(layers)
        assert self.open(stage, layers) == [None]
        return stage

    def stream(self) -> Any:
        """Ada's end of a raw stream."""

        class Deaf:
            def __getattr__(self, name: str) -> Any:
                return lambda *args: None

        opened: list[Any] = []
        self.ada.open(self.bob.peer_id, (protocol_id(STAGE.name, ""),), Deaf()).addCallback(opened.append)
        self.wait()
        return opened[0]


def step(first: int = 0, count: int = 3, sample: bool = True, epoch: int = 0) -> words.SendStep:
    return words.SendStep("s", epoch, first, count, None, bytes(ROW * count), sample)


def test_a_session_opens_steps_and_ends_with_its_stream() -> None:
    bench = Bench()
    stage = bench.opened()
    (lease,) = bench.leases
    assert (lease.layers, lease.opened.capacity, lease.opened.tokens) == (LAST, 16, (5, 6, 7))
    assert lease.sampler.sampling == Sampling(temperature=0.0, seed=0) and stage.profile == PROFILE
    (result,) = bench.outcome(stage.step(step()))
    assert (result.stage, result.first, result.count, result.drawn) == ("s", 0, 3, words.Drawn(12, -0.5))
    assert bench.offer.stats() == {"sessions": 1, "pending_bytes": 0, "worked_on_bytes": 0}
    stage.close()
    bench.wait()
    assert lease.over and bench.offer.stats()["sessions"] == 0 and bench.faults == []
    assert bench.clock.getDelayedCalls() == []


def test_the_first_stage_takes_tokens_and_gives_rows() -> None:
    bench = Bench()
    stage = bench.opened(FIRST)
    (result,) = bench.outcome(stage.step(words.SendStep("s", 0, 0, 2, (1, 2), b"", False)))
    assert bytes(result.hidden) == bytes(2 * ROW) and result.drawn is None
    assert bench.leases[0].steps[0].tokens == (1, 2)


@pytest.mark.parametrize("remote", [0, 1, 2], ids=["first", "last", "both"])
def test_an_answer_over_two_nodes(remote: int) -> None:
    bench = Bench()

    def find(index: int, layers: LayerRange) -> Deferred[Any]:
        here = remote not in (2, index)
        return succeed(bench.lease(CARD, layers, "own") if here else bench.stage(layers))

    head = PipelineHead(Answer((5, 6, 7), 4, frozenset()), (FIRST, LAST), row_bytes=ROW, chunk=2)
    answer = Pipeline(bench.clock, "p", head, find, SAMPLER).run()
    seen: list[Any] = []
    answer.addBoth(seen.append)
    bench.wait(60 * DELAY)
    assert seen[0].ids == (12, 13, 14, 15) and seen[0].reason == "length"
    assert all(lease.over for lease in bench.leases) and bench.offer.stats()["sessions"] == 0


@pytest.mark.parametrize(
    ("wish", "layers", "capacity", "code"),
    [
        ({"model": bytes(32)}, LAST, 16, "no_such_model"),
        ({"profile": "numpy-1/Haswell:kv=f16:residual=f16"}, LAST, 16, "other_numerics"),
        ({}, LAST, 65, "context_length_exceeded"),
        ({}, LayerRange(2, 5), 16, "bad_layer_range"),
    ],
    ids=["model", "profile", "context", "layers"],
)
def test_what_cannot_be_served_is_refused_by_name(
    wish: dict[str, Any], layers: LayerRange, capacity: int, code: str
) -> None:
    bench = Bench()
    stage = bench.stage(layers, **wish)
    (error,) = bench.open(stage, layers, capacity)
    assert isinstance(error, Refused) and error.code == code and stage.error is error
    stage.close()
    bench.wait()
    assert all(lease.over for lease in bench.leases)
    assert bench.faults == []


def test_any_profile_will_do_where_none_is_wanted() -> None:
    bench = Bench()
    stage = bench.stage(profile="")
    assert bench.open(stage) == [None] and stage.profile == PROFILE


def test_no_room_for_keys_and_values_is_said() -> None:
    bench = Bench()
    bench.slow = True
    stage = bench.stage()
    outcome = bench.open(stage)
    lease = bench.leases[0]
    lease.trouble = Unavailable("they need 4 bytes; 0 are free", code="no_cache_room")
    lease.loading.callback(lease)
    bench.wait()
    assert outcome[0].code == "no_cache_room" and "0 are free" in outcome[0].message


def test_a_peer_in_another_network_finds_no_stage() -> None:
    bench = Bench("office")
    (error,) = bench.open(bench.stage())
    assert error.code == "protocol_unsupported"


def test_who_may_not_is_turned_away() -> None:
    barred = Refused("not you", code="not_trusted")
    bench = Bench(may=lambda peer: barred)
    (error,) = bench.open(bench.stage())
    assert error.code == "not_trusted" and bench.leases == []


def test_progress_while_it_loads_and_while_it_computes() -> None:
    bench = Bench()
    bench.slow = True
    stage = bench.stage()
    heard: list[str] = []
    stage.heard = lambda: heard.append("at work")
    outcome = bench.open(stage)
    (lease,) = bench.leases
    lease.heard()
    bench.wait()
    assert len(heard) == 1 and outcome == []
    lease.loading.callback(lease)
    bench.wait()
    assert outcome == [None]
    lease.held = Deferred()
    stepped = bench.outcome(stage.step(step()))
    lease.heard()
    bench.wait()
    assert len(heard) == 2 and stepped == []
    lease.held.callback(None)
    bench.wait()
    assert len(stepped) == 1
    lease.heard()
    bench.wait()
    assert len(heard) == 2


def test_when_the_peer_goes_both_ends_know() -> None:
    bench = Bench()
    stage = bench.opened()
    (lease,) = bench.leases
    lease.held = Deferred()
    outcome = bench.outcome(stage.step(step()))
    bench.network.part(bench.ada, bench.bob)
    bench.wait()
    assert lease.over and bench.offer.stats() == {"sessions": 0, "pending_bytes": 0, "worked_on_bytes": 0}
    assert isinstance(outcome[0], Unavailable) and stage.error is outcome[0]
    (again,) = bench.outcome(stage.step(step()))
    assert again is stage.error
    assert bench.clock.getDelayedCalls() == []


def test_a_worker_that_is_lost_is_an_answer() -> None:
    bench = Bench()
    stage = bench.opened()
    bench.leases[0].trouble = LocalFault("killed: /secret", code="worker_lost")
    (error,) = bench.outcome(stage.step(step()))
    assert error.code == "worker_lost" and "secret" not in error.message


def test_who_gives_up_while_it_loads_holds_nothing() -> None:
    bench = Bench()
    bench.slow = True
    stage = bench.stage()
    bench.open(stage)
    cancelled: list[int] = []
    bench.leases[0].loading._canceller = lambda _: cancelled.append(1)  # type: ignore[assignment]
    stage.close()
    bench.wait()
    assert cancelled == [1] and bench.offer.stats()["sessions"] == 0


def test_so_many_sessions_a_peer_and_no_more() -> None:
    bench = Bench()
    for _ in range(MAX_PEER_SESSIONS):
        bench.opened()
    (error,) = bench.open(bench.stage())
    assert error.code == "stream_reset"
    assert bench.offer.stats()["sessions"] == MAX_PEER_SESSIONS


def test_so_many_ranges_and_no_more() -> None:
    bench = Bench()
    ranges = [LayerRange(start, 4) for start in range(MAX_RANGES)]
    stages = [bench.stage(layers) for layers in ranges]
    for stage, layers in zip(stages, ranges, strict=True):
        assert bench.open(stage, layers) == [None]
    (error,) = bench.open(bench.stage(LayerRange(3, 4)), LayerRange(3, 4))
    assert error.code == "stage_full" and isinstance(error, Unavailable)
    assert bench.open(bench.stage(ranges[0]), ranges[0]) == [None]
    stages[1].close()
    bench.wait()
    assert bench.open(bench.stage(LayerRange(3, 4)), LayerRange(3, 4)) == [None]


def test_a_peer_cannot_have_one_range_after_the_other_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offer_stages, "LOADS_A_MINUTE", 3)
    bench = Bench()

    def tried(start: int) -> Any:
        stage = bench.stage(LayerRange(start, 3))
        (outcome,) = bench.open(stage, LayerRange(start, 3))
        stage.close()
        bench.wait()
        return outcome

    assert [tried(0) for _ in range(6)] == [None] * 6  # it is loaded once
    assert [tried(1), tried(2)] == [None, None]
    stage = bench.stage()
    (error,) = bench.open(stage)
    assert error.code == "stage_full" and "wait" in error.message
    assert tried(0) is None
    bench.clock.advance(21)
    assert bench.open(bench.stage()) == [None]


def test_who_opens_nothing_and_who_does_nothing_is_let_go() -> None:
    bench = Bench()
    bench.stream()
    assert bench.offer.stats()["sessions"] == 1
    bench.wait(OPEN_SECONDS)
    assert bench.offer.stats()["sessions"] == 0
    stage = bench.opened()
    bench.wait(IDLE_SECONDS / 2)
    bench.outcome(stage.step(step()))
    bench.wait(IDLE_SECONDS / 2)
    assert bench.offer.stats()["sessions"] == 1
    bench.wait(IDLE_SECONDS / 2)
    assert bench.offer.stats()["sessions"] == 0 and bench.leases[0].over


def test_who_waits_for_a_step_is_not_idle() -> None:
    bench = Bench()
    stage = bench.opened()
    bench.leases[0].held = Deferred()
    bench.outcome(stage.step(step()))
    bench.wait(2 * IDLE_SECONDS)
    assert bench.offer.stats()["sessions"] == 1


def test_rows_that_are_computed_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offer_stages, "MAX_WORKED_ON", 4 * ROW)
    bench = Bench()
    stage = bench.opened()
    bench.leases[0].held = Deferred()
    bench.outcome(stage.step(step()))
    assert bench.offer.stats()["worked_on_bytes"] == 3 * ROW
    (error,) = bench.outcome(stage.step(step(3, 2)))
    assert error.code == "too_much_at_once"
    bench.leases[0].held.callback(None)
    bench.wait()
    assert bench.offer.stats()["worked_on_bytes"] == 0


def test_rows_that_nobody_reads_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offer_stages, "MAX_UNREAD", 3 * ROW)
    bench = Bench()
    stage = bench.opened(FIRST)
    three = words.SendStep("s", 0, 0, 3, (1, 2, 3), b"", False)
    (result,) = bench.outcome(stage.step(three))
    assert len(result.hidden) == 3 * ROW
    next(stream for stream in bench.bob.streams).waiting = 1
    (error,) = bench.outcome(stage.step(three))
    assert error.code == "too_much_at_once"


def test_stopping_ends_all_sessions() -> None:
    bench = Bench()
    bench.opened()
    bench.offer.stop()
    bench.wait()
    assert bench.leases[0].over and bench.offer.stats()["sessions"] == 0
    assert bench.bob.served() == frozenset()


@pytest.mark.parametrize(
    "asked",
    [
        lambda: encode(Question(1, "stage_step", 5.0, b"")),
        lambda: encode(Question(1, "stage_open", 5.0, b"\xff")),
        lambda: encode(Question(1, "stage_open", 5.0, b"")),
        lambda: (frame(Tag.BULK, b"x"),),
    ],
    ids=["step before open", "no message", "empty", "stray frame"],
)
def test_who_breaks_the_rules_is_told_of(asked: Any) -> None:
    bench = Bench()
    stream = bench.stream()
    for data in asked():
        stream.write(data)
    bench.wait()
    assert [peer for peer, _ in bench.faults] == [bench.ada.peer_id] and bench.leases == []


def test_opening_twice_is_a_fault() -> None:
    bench = Bench()
    stage = bench.opened()
    (error,) = bench.open(stage)
    assert bench.faults == [(bench.ada.peer_id, "bad_message")] and isinstance(error, Unavailable)


def test_other_requests_have_no_business_here() -> None:
    bench = Bench()
    stream = bench.stream()
    stream.write(b"".join(encode(Question(1, "member_probe", 5.0, b""))))
    bench.wait()
    assert bench.faults == []


class Liar:
    """Bob answers by hand, the kinds of requests given."""

    def __init__(self, bench: Bench, **answers: bytes) -> None:
        self.answers = answers
        bench.offer.stop()
        bench.bob.serve(protocol_id(STAGE.name, ""), self.accept)

    def accept(self, stream: Any) -> Liar:
        self.stream = stream
        return self

    def received(self, data: bytes) -> None:
        for kind, answer in self.answers.items():
            if kind.encode() in data:
                self.stream.write(answer)

    def ended(self) -> None: ...

    def lost(self, error: Any) -> None: ...

    def drained(self) -> None: ...


def test_rows_without_end_are_not_waited_for() -> None:
    bench = Bench()
    opened = b"".join(encode(Result(1, KINDS["stage_open"].new_reply(profile="p").SerializeToString())))
    flood = b"".join(encode(Result(2, b"", Tag.TENSOR, bytes(1 << 20))))[:-1]
    Liar(bench, stage_open=opened, stage_step=flood)
    stage = bench.stage()
    assert bench.open(stage) == [None] and stage.profile == "p"
    (error,) = bench.outcome(stage.step(step()))
    assert isinstance(error, PeerFault) and error.code == "stage_lied"
    assert (bench.bob.peer_id, "stage_lied") in bench.faults


def test_an_answer_that_cannot_be_read_is_a_fault() -> None:
    bench = Bench()
    Liar(bench, stage_open=b"".join(encode(Result(1, b"\xff"))))
    stage = bench.stage()
    (error,) = bench.open(stage)
    assert isinstance(error, PeerFault) and bench.faults == [(bench.bob.peer_id, "bad_message")]


@given(st.lists(st.binary(max_size=60), max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_bytes_leave_no_session_behind(chunks: list[bytes]) -> None:
    bench = Bench()
    stream = bench.stream()
    for data in chunks:
        stream.write(data)
        bench.wait()
    stream.reset()
    bench.wait(OPEN_SECONDS + 1)
    assert bench.offer.stats() == {"sessions": 0, "pending_bytes": 0, "worked_on_bytes": 0}
    assert bench.clock.getDelayedCalls() == []
