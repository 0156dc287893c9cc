"""Does a model say the same when some of its layers are computed by a peer?"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any

from structlog import get_logger
from twisted.internet.defer import CancelledError, Deferred, fail, inlineCallbacks
from zope.interface import implementer

from swarmnode.driving.driver import Clock
from swarmnode.driving.pipeline import Pipeline, PipelineAnswer
from swarmnode.interfaces.host import Host
from swarmnode.interfaces.split_admin import ISplitAdmin
from swarmnode.policy.trust import TrustEvent
from swarmnode.protocols.pipeline.head import Answer, PipelineHead
from swarmnode.protocols.pipeline.stage_messages import ROW_NUMBER_BYTES, StageWish
from swarmnode.protocols.pipeline.vocabulary import Sampler
from swarmnode.protocols.worker.messages import json_bytes
from swarmnode.protocols.worker.tokens import ids_bytes, ids_from
from swarmnode.services.know_models import KnowModels, usable
from swarmnode.services.pick_stages import PickStages, Places
from swarmnode.services.use_stage import RemoteStage
from swarmnode.values.cards import ModelCard
from swarmnode.values.errors import Refused, SwarmnodeError, Unavailable
from swarmnode.values.generation import (
    Conversation,
    Failed,
    Finished,
    GenerationRequest,
    Message,
    Sampling,
    TextDelta,
    TokenIds,
    request_as_dict,
)
from swarmnode.values.layers import LayerRange, parse_split
from swarmnode.values.peer_id import parse_peer_id
from swarmnode.values.splitting import SplitWish

log = get_logger("split")

#: Rows of one step, and pieces that a prompt is cut into, so that both nodes compute at a time.
CHUNK, PIECES = 128, 4
MAX_STAGES = 16

Blame = Callable[[str, SwarmnodeError], None]


@dataclass(frozen=True, slots=True)
class _Case:
    """What one comparison is about."""

    card: ModelCard
    peer: str
    ranges: tuple[LayerRange, ...]
    remote: tuple[int, ...]
    wish: SplitWish


@implementer(ISplitAdmin)
class CompareSplit:
    """find(name): the model's card, as `IResponseCore.find`. pool: `IWorkerPool`. join(text): a Deferred of a
    dict with the `node_id` of who is at an address (`INetworkAdmin.join`). record(peer, event): what was seen
    of its trustworthiness. penalise: told when it broke the rules."""

    def __init__(
        self,
        host: Host,
        clock: Clock,
        network: str,
        find: Callable[[str], ModelCard],
        models: KnowModels,
        pool: Any,
        join: Callable[[str], Deferred[Any]],
        *,
        record: Callable[[str, TrustEvent], None] = lambda peer, event: None,
        penalise: Blame = lambda peer, error: None,
    ) -> None:
        self._host, self._clock, self._network = host, clock, network
        self._find, self._models, self._pool, self._join = find, models, pool, join
        self._record, self._penalise = record, penalise
        self._busy = False
        self._runs = 0

    def compare(self, wish: SplitWish) -> Deferred[dict[str, Any]]:
        """As `ISplitAdmin`; one at a time."""
        if self._busy:
            return fail(
                Unavailable("Another split is being tried", code="busy", hint="Try again in a moment.")
            )
        self._busy = True

        def free(result: Any) -> Any:
            self._busy = False
            return result

        comparing: Deferred[dict[str, Any]] = self._compare(wish)
        return comparing.addBoth(free)

    @inlineCallbacks
    def _compare(self, wish: SplitWish) -> Generator[Deferred[Any], Any, dict[str, Any]]:
        self._runs += 1
        card = self._find(wish.model)
        ranges, remote = plan(card, wish)
        peer = yield self._peer(wish.peer.strip())
        digest = yield self._models.digest(card)
        case = _Case(card, peer, ranges, remote, wish)
        whole = self._pool.stage(card, None, f"split {self._runs} whole")
        try:
            yield whole.ready()
            rows, texts = yield self._scenarios(case, digest, whole)
        finally:
            whole.release()
        ok = all(row["identical"] for row in rows)
        self._record(peer, TrustEvent.INFERENCE_SUCCESS if ok else TrustEvent.SPOT_CHECK_FAIL)
        return {
            "ok": ok,
            "model": card.label,
            "peer": peer,
            "split": ",".join(map(str, ranges)),
            "remote": list(remote),
            "profile": str(whole.description.get("profile", "")),
            "scenarios": rows,
            "texts": texts,
        }

    def _peer(self, text: str) -> Deferred[str]:
        """Who is meant, connected."""
        if text.startswith(("/", "swarm://")):
            return self._join(text).addCallback(lambda joined: str(joined["node_id"]))
        peer = parse_peer_id(text)
        if peer == self._host.peer_id:
            raise Refused(
                "That is this node itself",
                code="self_dial",
                hint="`swarmnode test-split` without --peer splits a model on one machine.",
            )
        connecting: Deferred[str] = self._host.connect(peer)
        return connecting

    @inlineCallbacks
    def _scenarios(
        self, case: _Case, digest: bytes, whole: Any
    ) -> Generator[Deferred[Any], Any, tuple[list[dict[str, Any]], dict[str, str]]]:
        prompt = Conversation((Message("user", case.wish.prompt),))
        question = self._request(case, TokenIds(()), Sampling())
        asked = json_bytes(request_as_dict(replace(question, prompt=prompt)))
        tokens = yield whole.call("tokenize", {}, asked)
        ids = ids_from(tokens.payload)
        rows, texts = [], {}
        for name, sampling in _samplings(case.wish.seed):
            begun = self._clock.seconds()
            expected, text = yield self._whole_answer(case, TokenIds(ids), sampling)
            middle = self._clock.seconds()
            answer = yield self._split_answer(case, digest, whole, ids, sampling, name)
            ended = self._clock.seconds()
            decoded = yield whole.call("detokenize", {}, ids_bytes(answer.ids))
            wanted = yield whole.call("detokenize", {}, ids_bytes(expected))
            same = answer.ids == expected and bytes(decoded.payload) == bytes(wanted.payload)
            log.info("a split was tried", model=case.card.label, peer=case.peer, what=name, identical=same)
            rows.append({
                "scenario": name,
                "tokens": len(answer.ids),
                "identical": same,
                "seconds": round(ended - middle, 3),
                "whole_seconds": round(middle - begun, 3),
            })  # fmt: skip
            texts[name] = text
        return rows, texts

    def _request(self, case: _Case, prompt: TokenIds, sampling: Sampling) -> GenerationRequest:
        name = f"split-{self._runs}"
        return GenerationRequest(name, case.card.label, prompt, sampling, case.wish.max_tokens)

    def _whole_answer(self, case: _Case, prompt: TokenIds, sampling: Sampling) -> Deferred[Any]:
        collected = _Collected()
        generation = self._pool.generate(case.card, self._request(case, prompt, sampling), collected)
        collected.stop = generation.cancel
        return collected.done

    def _split_answer(
        self, case: _Case, digest: bytes, whole: Any, ids: tuple[int, ...], sampling: Sampling, name: str
    ) -> Deferred[PipelineAnswer]:
        known, facts = whole.description, case.card.facts
        assert facts is not None  # `plan` has looked
        row_bytes = ROW_NUMBER_BYTES * facts.hidden
        profile = str(known["profile"])

        def remote(layers: LayerRange) -> RemoteStage:
            wish = StageWish(digest, layers, profile)
            return RemoteStage(
                self._host, self._clock, self._network, case.peer, wish, row_bytes, self._penalise
            )

        places = Places(self._clock, self._pool.stage, remote)
        picker = PickStages(places, case.card, case.remote, f"split {self._runs} {name}")
        room = int(known["context_length"]) - len(ids)
        answer = Answer(ids, min(case.wish.max_tokens, room), frozenset(known["eos_ids"]))
        chunk = max(1, min(CHUNK, -(-len(ids) // PIECES)))
        head = PipelineHead(answer, case.ranges, row_bytes=row_bytes, chunk=chunk)
        sampler = Sampler(sampling, sampling.seed or 0, 0, None, len(ids))
        running = Pipeline(self._clock, name, head, picker.find, sampler).run()
        return running.addCallback(_finished)


def plan(card: ModelCard, wish: SplitWish) -> tuple[tuple[LayerRange, ...], tuple[int, ...]]:
    """Where the model is cut, and which ranges the peer computes. Raises `Refused`."""
    facts = card.facts
    if not usable(card) or facts is None:
        raise Refused(
            card.problem or f"{card.label} is no model file of this node",
            code="no_model_file",
            hint="`swarmnode status` lists the models; only those with a file here can be cut.",
        )
    half = facts.layers // 2
    text = wish.split or (f"0-{half - 1},{half}-{facts.layers - 1}" if half else "0")
    ranges = parse_split(text, facts.layers)
    remote = tuple(sorted(set(wish.remote))) or (len(ranges) - 1,)
    if len(ranges) > MAX_STAGES:
        raise Refused(f"A model is cut into at most {MAX_STAGES} ranges", code="bad_layer_range")
    if not (remote[0] >= 0 and remote[-1] < len(ranges)):
        raise Refused(
            f"There is no range number {remote[-1]}: the ranges {text} are counted from 0",
            code="bad_layer_range",
        )
    return ranges, remote


def _samplings(seed: int) -> tuple[tuple[str, Sampling], ...]:
    return ("greedy", Sampling(temperature=0.0)), ("seeded", Sampling(temperature=0.8, seed=seed))


def _finished(answer: PipelineAnswer) -> PipelineAnswer:
    if answer.reason == "cancelled":
        raise CancelledError
    return answer


class _Collected:
    """Collects an answer: fires with (ids, text). stop: ends it."""

    def __init__(self) -> None:
        self.stop: Callable[[], None] = lambda: None
        self.done: Deferred[tuple[tuple[int, ...], str]] = Deferred(lambda _: self.stop())
        self._ids: list[int] = []
        self._text: list[str] = []

    def event(self, event: Any) -> None:
        """As `IEventSink`."""
        if isinstance(event, TextDelta):
            self._ids += event.token_ids
            self._text.append(event.text)
        elif isinstance(event, Finished):
            self.done.callback((tuple(self._ids), "".join(self._text)))
        elif isinstance(event, Failed):
            self.done.errback(event.error)
