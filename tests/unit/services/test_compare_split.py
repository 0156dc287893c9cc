"""Comparing a whole model with one that is cut over two nodes: on one clock, with a model that counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from twisted.internet.defer import Deferred, execute, fail, succeed
from twisted.internet.task import Clock

from swarmnode.policy.trust import TrustEvent
from swarmnode.protocols.pipeline import vocabulary as words
from swarmnode.protocols.worker.messages import Message
from swarmnode.protocols.worker.tokens import ids_bytes, ids_from
from swarmnode.services.compare_split import CompareSplit, plan
from swarmnode.services.know_models import KnowModels
from swarmnode.services.offer_stages import OfferStages
from swarmnode.services.pick_stages import MAX_TRIES, RETRY_SECONDS
from swarmnode.testing.fake_host import DELAY, FakeHost, FakeNetwork
from swarmnode.values.cards import ModelCard, ModelFacts
from swarmnode.values.errors import LocalFault, Refused, SwarmnodeError, Unavailable
from swarmnode.values.generation import Failed, Finished, GenerationRequest, TextDelta, TokenIds, Usage
from swarmnode.values.layers import LayerRange
from swarmnode.values.splitting import SplitWish

HIDDEN = 4
ROW = 4 * HIDDEN
FACTS = ModelFacts("llama", 4, HIDDEN, 2, 2, 2, 256, 512, "F16", 4000)
KNOWN = {"profile": "p-1", "context_length": 64, "eos_ids": [99], "hidden": HIDDEN}
PROMPT = (5, 6, 7)


class Generation:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Lease:
    """A worker of a model whose token at position p is p + 10."""

    def __init__(self, pool: Pool, layers: LayerRange | None, name: str) -> None:
        self.pool, self.layers, self.name = pool, layers, name
        self.heard: Any = lambda: None
        self.description: Mapping[str, Any] = {**KNOWN, "profile": pool.profile}
        self.over = False
        self.steps = 0

    def ready(self) -> Deferred[Any]:
        return succeed(self)

    def call(self, kind: str, header: Mapping[str, Any], payload: bytes) -> Deferred[Message]:
        if kind == "tokenize":
            assert json.loads(payload)["prompt"]["messages"][0][1] == "hello"
            return succeed(Message("tokens", {}, ids_bytes(PROMPT)))
        return succeed(Message("text", {}, ",".join(map(str, ids_from(payload))).encode()))

    def open(self, opening: words.OpenSession, sampler: words.Sampler) -> Deferred[Any]:
        return succeed(None)

    def step(self, step: words.SendStep) -> Deferred[words.StageResult]:
        self.steps += 1
        if self.pool.silent:
            return Deferred()
        if self.pool.troubles:
            return fail(self.pool.troubles.pop())
        rows, drawn = b"", None
        assert self.layers is not None
        if self.layers.end < FACTS.layers:
            rows = bytes(ROW * step.count)
        elif step.sample:
            drawn = words.Drawn(10 + step.first + step.count + self.pool.wrong)
        return succeed(words.StageResult(step.stage, step.epoch, step.first, step.count, rows, drawn))

    def close(self) -> None:
        self.over = True

    release = close


class Pool:
    """The workers of one node."""

    def __init__(self) -> None:
        self.leases: list[Lease] = []
        self.troubles: list[SwarmnodeError] = []
        self.silent, self.wrong, self.profile = False, 0, "p-1"
        self.whole: Any = None

    def stage(self, card: ModelCard, layers: LayerRange | None, name: str) -> Lease:
        self.leases.append(Lease(self, layers, name))
        return self.leases[-1]

    def generate(self, card: ModelCard, request: GenerationRequest, sink: Any) -> Generation:
        assert isinstance(request.prompt, TokenIds) and request.prompt.ids == PROMPT
        if self.whole is not None:
            sink.event(Failed(self.whole))
            return Generation()
        assert request.max_tokens is not None
        ids = tuple(10 + position for position in range(3, 3 + request.max_tokens))
        sink.event(TextDelta(0, "some text", token_ids=ids))
        sink.event(Finished(Usage()))
        return Generation()


class Node:
    def __init__(self, bench: Bench, number: int) -> None:
        self.host: FakeHost = bench.network.host(f"/ip4/10.0.0.{number}/tcp/1")
        self.pool = Pool()
        path = bench.path
        self.cards = [ModelCard("m", "cpu", path, facts=FACTS), ModelCard("cloud", "somewhere")]
        self.models = KnowModels(lambda: self.cards, lambda path: bytes(range(32)), execute)
        self.offer = OfferStages(self.host, bench.clock, "", self.models, self.pool.stage)
        self.offer.start()

    def find(self, name: str) -> ModelCard:
        for card in self.cards:
            if card.label == (name or "m"):
                return card
        raise Refused(f"no {name}", code="model_not_found")


class Bench:
    def __init__(self, path: str) -> None:
        self.clock, self.path = Clock(), path
        self.network = FakeNetwork(self.clock)
        self.ada, self.bob = Node(self, 1), Node(self, 2)
        self.events: list[tuple[str, TrustEvent]] = []
        self.joined: list[str] = []
        self.compare = CompareSplit(
            self.ada.host,
            self.clock,
            "",
            self.ada.find,
            self.ada.models,
            self.ada.pool,
            self.join,
            record=lambda peer, event: self.events.append((peer, event)),
        )
        self.connect()

    def connect(self) -> None:
        self.network.join(self.ada.host, self.bob.host, self.bob.host.listening[0])

    def join(self, text: str) -> Deferred[Any]:
        self.joined.append(text)
        return succeed({"node_id": self.bob.host.peer_id})

    def ask(self, seconds: float = 3.0, **wish: Any) -> list[Any]:
        outcome: list[Any] = []
        fields = {"peer": self.bob.host.peer_id, "prompt": "hello", "max_tokens": 5, **wish}
        self.asked = self.compare.compare(SplitWish(**fields))
        self.asked.addCallbacks(outcome.append, lambda failure: outcome.append(failure.value))
        self.wait(seconds)
        return outcome

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds / DELAY)):
            self.clock.advance(DELAY)

    @property
    def held(self) -> list[str]:
        """Sessions that somebody still holds."""
        return [lease.name for node in (self.ada, self.bob) for lease in node.pool.leases if not lease.over]


@pytest.fixture
def bench(tmp_path: Any) -> Bench:
    (tmp_path / "m.gguf").write_bytes(b"model")
    return Bench(str(tmp_path / "m.gguf"))


@pytest.mark.parametrize("remote", [(), (0,), (0, 1)], ids=["last", "first", "both"])
def test_a_good_peer_says_the_same(bench: Bench, remote: tuple[int, ...]) -> None:
    (answer,) = bench.ask(remote=remote)
    peer = bench.bob.host.peer_id
    assert (answer["ok"], answer["model"], answer["peer"]) == (True, "m", peer)
    assert (answer["split"], answer["remote"], answer["profile"]) == ("0-1,2-3", list(remote or (1,)), "p-1")
    rows = [(row["scenario"], row["tokens"], row["identical"]) for row in answer["scenarios"]]
    assert rows == [("greedy", 5, True), ("seeded", 5, True)]
    assert answer["texts"] == {"greedy": "some text", "seeded": "some text"}
    assert bench.events == [(peer, TrustEvent.INFERENCE_SUCCESS)] and bench.held == []
    json.dumps(answer)


def test_a_peer_that_computes_wrongly_is_found_out(bench: Bench) -> None:
    bench.bob.pool.wrong = 1
    (answer,) = bench.ask()
    assert answer["ok"] is False and answer["scenarios"][0]["identical"] is False
    assert bench.events == [(bench.bob.host.peer_id, TrustEvent.SPOT_CHECK_FAIL)]


def test_an_address_and_a_code_are_joined_first(bench: Bench) -> None:
    for text in ("/ip4/10.0.0.2/tcp/1", "swarm://code"):
        (answer,) = bench.ask(peer=text)
        assert answer["ok"]
    assert bench.joined == ["/ip4/10.0.0.2/tcp/1", "swarm://code"]


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"model": "cloud"}, "no_model_file"),
        ({"model": "nothing"}, "model_not_found"),
        ({"split": "0-1,3"}, "bad_layer_range"),
        ({"remote": (2,)}, "bad_layer_range"),
        ({"peer": "nonsense"}, None),
    ],
    ids=str,
)
def test_what_cannot_be_run_is_refused(bench: Bench, wish: dict[str, Any], code: str | None) -> None:
    (error,) = bench.ask(**wish)
    assert isinstance(error, Refused) and (code is None or error.code == code)
    assert bench.held == [] and bench.events == []


def test_oneself_is_no_peer(bench: Bench) -> None:
    (error,) = bench.ask(peer=bench.ada.host.peer_id)
    assert error.code == "self_dial"


def test_what_the_peer_refuses_is_asked_once(bench: Bench) -> None:
    bench.bob.pool.profile = "another"
    (error,) = bench.ask()
    assert isinstance(error, Refused) and error.code == "other_numerics"
    assert bench.bob.host.peer_id in error.message
    assert len(bench.bob.pool.leases) == 1 and bench.held == []


def test_a_stage_that_is_lost_is_opened_again(bench: Bench) -> None:
    bench.bob.pool.troubles = [LocalFault("killed", code="worker_lost")]
    (answer,) = bench.ask(10.0)
    assert answer["ok"] and bench.held == []


def test_a_peer_that_goes_for_good_is_named(bench: Bench) -> None:
    bench.bob.pool.silent = True
    outcome = bench.ask(1.0)
    assert outcome == []
    bench.network.part(bench.ada.host, bench.bob.host)
    bench.wait(sum(RETRY_SECONDS) + 1)
    (error,) = outcome
    assert isinstance(error, Unavailable) and error.code == "stage_lost"
    assert bench.bob.host.peer_id in error.message and error.hint
    assert bench.held == [] and bench.events == []
    assert bench.clock.getDelayedCalls() == []


def test_a_peer_that_comes_back_goes_on(bench: Bench) -> None:
    bench.bob.pool.silent = True
    outcome = bench.ask(1.0)
    bench.network.part(bench.ada.host, bench.bob.host)
    bench.bob.pool.silent = False
    bench.connect()
    bench.wait(5.0)
    assert outcome[0]["ok"] and len(bench.bob.pool.leases) >= MAX_TRIES - 1


def test_one_at_a_time(bench: Bench) -> None:
    bench.bob.pool.silent = True
    assert bench.ask(0.5) == []
    first = bench.asked
    (error,) = bench.ask(0.1)
    assert error.code == "busy"
    first.cancel()
    bench.bob.pool.silent = False
    (answer,) = bench.ask()
    assert answer["ok"]


def test_cancelling_stops_the_work_on_both_nodes(bench: Bench) -> None:
    bench.bob.pool.silent = True
    outcome = bench.ask(0.5)
    assert len(bench.held) == 3  # the whole model, and each part
    bench.asked.cancel()
    bench.wait(0.5)
    assert len(outcome) == 1 and bench.held == [] and bench.events == []


def test_the_whole_model_that_fails_says_why(bench: Bench) -> None:
    bench.ada.pool.whole = Unavailable("too little memory", code="model_too_large")
    (error,) = bench.ask()
    assert error.code == "model_too_large" and bench.held == []


def test_a_model_of_one_layer_is_one_range() -> None:
    facts = ModelFacts("llama", 1, HIDDEN, 2, 2, 2, 256, 512, "F16", 4000)
    card = ModelCard("m", "cpu", "/m", facts=facts)
    assert plan(card, SplitWish("p", "x")) == ((LayerRange(0, 1),), (0,))
