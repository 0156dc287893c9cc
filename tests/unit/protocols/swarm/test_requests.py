"""The two ends of a stream of requests, joined by bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmnode.protocols.swarm.frames import Tag, frame
from swarmnode.protocols.swarm.messages import Kind
from swarmnode.protocols.swarm.request_frames import Cancel, Failure, Progress, Question, Result, encode
from swarmnode.protocols.swarm.request_vocabulary import (
    Abandon,
    Answer,
    Answered,
    Ask,
    AtWork,
    Break,
    Decline,
    Failed,
    GiveUp,
    Heard,
    Progressed,
    Say,
    Serve,
)
from swarmnode.protocols.swarm.requests import LONG, SHORT, Answerer, Asker, Lane
from swarmnode.values.errors import Refused, Unavailable

ECHO = Kind("echo", "MemberProbe", "MemberProbed", limit=100, reply_limit=100)
FETCH = Kind("fetch", "MemberProbe", "MemberProbed", reply_payload=Tag.BULK, bulk=True)
STORE = Kind("store", "MemberProbe", "MemberProbed", payload=Tag.BULK, bulk=True)
KINDS = {kind.name: kind for kind in (ECHO, FETCH, STORE)}


def said(effects: list[Any]) -> bytes:
    return b"".join(chunk for effect in effects if isinstance(effect, Say) for chunk in effect.chunks)


def others(effects: list[Any]) -> list[Any]:
    return [effect for effect in effects if not isinstance(effect, Say)]


class Pair:
    """Both ends, with what each has to say delivered at once."""

    def __init__(self, lane: Lane = SHORT) -> None:
        self.asker, self.answerer = Asker(lane), Answerer(KINDS.get, lane)
        self.now = 0.0

    def ask(self, event: Any) -> list[Any]:
        """What both ends do besides speaking, of an event of the asker's."""
        mine = self.asker.handle(event, self.now)
        return others(mine) + self._to_answerer(said(mine))

    def answer(self, event: Any) -> list[Any]:
        mine = self.answerer.handle(event, self.now)
        back = said(mine)
        return others(mine) + (others(self.asker.handle(Heard(back), self.now)) if back else [])

    def _to_answerer(self, data: bytes) -> list[Any]:
        if not data:
            return []
        effects = self.answerer.handle(Heard(data), self.now)
        back = said(effects)
        return others(effects) + (others(self.asker.handle(Heard(back), self.now)) if back else [])


def test_answers_come_in_any_order() -> None:
    pair = Pair()
    served = [pair.ask(Ask(n, ECHO, b"%d" % n, None, 5.0))[0] for n in (1, 2, 3)]
    assert [(one.id, one.body, one.deadline) for one in served] == [
        (1, b"1", 5.0),
        (2, b"2", 5.0),
        (3, b"3", 5.0),
    ]
    got = [pair.answer(Answer(n, b"r%d" % n))[0] for n in (3, 1, 2)]
    assert got == [Answered(3, b"r3", None), Answered(1, b"r1", None), Answered(2, b"r2", None)]
    assert pair.asker.open == pair.answerer.open == 0


def test_payloads_go_both_ways_in_their_lane() -> None:
    pair = Pair(LONG)
    assert pair.ask(Ask(1, STORE, b"", b"weights", 5.0)) == [Serve(1, STORE, b"", b"weights", 5.0)]
    assert pair.ask(Ask(2, FETCH, b"", None, 5.0)) == [Serve(2, FETCH, b"", None, 5.0)]
    assert pair.answer(Answer(2, b"", bytes(3 << 20))) == [Answered(2, b"", bytes(3 << 20))]


def test_an_error_is_an_answer() -> None:
    pair = Pair()
    pair.ask(Ask(1, ECHO, b"", None, 5.0))
    (failed,) = pair.answer(Decline(1, Refused("not with me", code="no", hint="ask bob")))
    assert isinstance(failed, Failed)
    assert (failed.error.code, failed.error.message, failed.error.hint) == ("no", "not with me", "ask bob")


def test_a_kind_that_is_not_known_is_refused_by_name() -> None:
    pair = Pair()
    (failed,) = pair.ask(Ask(1, replace(ECHO, name="teleport"), b"", None, 5.0))
    assert isinstance(failed.error, Refused)
    assert failed.error.code == "unsupported"
    assert "teleport" in failed.error.message


def test_a_kind_in_the_wrong_lane_or_with_a_strange_payload_is_refused() -> None:
    pair = Pair()
    (failed,) = pair.ask(Ask(1, FETCH, b"", None, 5.0))
    assert failed.error.code == "unsupported"
    (failed,) = pair.ask(Ask(2, replace(ECHO, payload=Tag.TENSOR), b"", b"123", 5.0))
    assert failed.error.code == "unsupported"
    assert pair.answerer.pending == 0
    assert isinstance(pair.ask(Ask(3, ECHO, b"", None, 5.0))[0], Serve)


def test_both_ends_give_up_in_time_and_late_answers_are_dropped() -> None:
    pair = Pair()
    pair.ask(Ask(1, ECHO, b"", None, 2.0))
    assert pair.asker.deadline == pair.answerer.deadline == 2.0
    (abandoned,) = pair.answerer.handle(None, 2.0)
    assert isinstance(abandoned, Abandon)
    say, failed = pair.asker.handle(None, 2.0)
    assert failed.error.code == "timeout"
    assert pair.asker.deadline is None
    # The cancel finds nothing, and an answer that was on its way is no fault.
    assert pair.answerer.handle(Heard(said([say])), 2.1) == []
    assert pair.asker.handle(Heard(b"".join(encode(Result(1, b"late")))), 2.2) == []


def test_progress_is_told_of_open_answers_only() -> None:
    pair = Pair()
    for number in (1, 2, 3):
        pair.ask(Ask(number, ECHO, b"", None, 5.0))
    pair.answer(Answer(2, b""))
    assert pair.answer(AtWork()) == [Progressed(1), Progressed(3)]
    assert pair.asker.handle(Heard(b"".join(encode(Progress(2)))), 0.0) == []
    assert pair.answer(Answer(1, b"r")) == [Answered(1, b"r", None)]


def test_progress_of_what_nobody_asked_is_a_fault() -> None:
    (broken,) = Asker().handle(Heard(b"".join(encode(Progress(1)))), 0.0)
    assert isinstance(broken, Break)
    (broken,) = Answerer(KINDS.get).handle(Heard(b"".join(encode(Progress(1)))), 0.0)
    assert isinstance(broken, Break)


def test_a_cancel_reaches_the_work() -> None:
    pair = Pair()
    pair.ask(Ask(1, ECHO, b"", None, 5.0))
    (abandoned,) = pair.ask(GiveUp(1))
    assert (abandoned.id, abandoned.error.code) == (1, "cancelled")
    assert pair.answer(Answer(1, b"too late")) == []
    assert pair.ask(GiveUp(1)) == []


@pytest.mark.parametrize("lane", [SHORT, LONG], ids=["short", "long"])
def test_so_many_questions_are_open_and_no_more(lane: Lane) -> None:
    kind = FETCH if lane is LONG else ECHO
    pair = Pair(lane)
    for number in range(1, lane.in_flight + 1):
        assert isinstance(pair.ask(Ask(number, kind, b"", None, 5.0))[0], Serve)
    (failed,) = pair.ask(Ask(lane.in_flight + 1, kind, b"", None, 5.0))
    assert failed.error.code == "too_many_requests"
    # A peer that does not count is answered, and nothing is served.
    more = pair.answerer.handle(Heard(b"".join(encode(Question(9999, kind.name, 5.0, b"")))), 0.0)
    assert others(more) == []
    assert isinstance(more[0], Say)
    assert pair.answerer.open == lane.in_flight


def test_what_is_too_long_is_refused_or_ends_the_stream() -> None:
    pair = Pair()
    (failed,) = pair.ask(Ask(1, ECHO, bytes(101), None, 5.0))
    assert failed.error.code == "message_too_large"
    pair.ask(Ask(2, ECHO, b"", None, 5.0))
    (broken,) = pair.answer(Answer(2, bytes(101)))
    assert isinstance(broken, Break)
    assert broken.error.code == "frame_too_large"


@pytest.mark.parametrize(
    "data",
    [
        encode(Result(5, b"")),
        encode(Question(1, "echo", 1.0, b"")),
        encode(Cancel(1)),
        encode(Failure(0, Unavailable("x", code="x"))),
        (frame(Tag.BULK, b"x"),),
    ],
    ids=["answer to nothing", "question", "cancel", "failure of nothing", "raw bytes"],
)
def test_an_answerer_that_breaks_the_rules_is_dropped(data: tuple[bytes, ...]) -> None:
    asker = Asker()
    asker.handle(Ask(1, ECHO, b"", None, 5.0), 0.0)
    (broken,) = asker.handle(Heard(b"".join(data)), 0.0)
    assert isinstance(broken, Break)
    assert asker.handle(Heard(b"".join(encode(Result(1, b"")))), 0.0) == []


@pytest.mark.parametrize(
    "data",
    [
        encode(Result(1, b"")),
        encode(Question(2, "echo", 1.0, b"")) + encode(Question(2, "echo", 1.0, b"")),
        encode(Question(0, "echo", 1.0, b"")),
    ],
    ids=["answer", "the same id again", "id 0"],
)
def test_an_asker_that_breaks_the_rules_is_dropped(data: tuple[bytes, ...]) -> None:
    effects = Answerer(KINDS.get).handle(Heard(b"".join(data)), 0.0)
    assert isinstance(effects[-1], Break)


def test_a_question_without_time_is_not_served() -> None:
    effects = Answerer(KINDS.get).handle(Heard(b"".join(encode(Question(1, "echo", 0.0, b"")))), 0.0)
    assert others(effects) == []
    assert said(effects)


actions = st.lists(
    st.tuples(st.sampled_from(["ask", "answer", "decline", "cancel", "wait"]), st.integers(0, 9)), max_size=60
)


@settings(deadline=None)
@given(actions)
def test_every_question_has_one_end(steps: list[tuple[str, int]]) -> None:
    pair, asked, ends = Pair(), 0, {}
    for what, number in steps:
        effects: list[Any] = []
        if what == "ask":
            asked += 1
            effects = pair.ask(Ask(asked, ECHO, b"", None, 1.0 + number))
        elif what == "answer":
            effects = pair.answer(Answer(number, b"x"))
        elif what == "decline":
            effects = pair.answer(Decline(number, Unavailable("no", code="no")))
        elif what == "cancel" and number not in ends and 0 < number <= asked:
            ends[number] = None
            effects = pair.ask(GiveUp(number))
        elif what == "wait":
            pair.now += number / 3
            effects = pair.ask(None) + pair.answer(None)
        for effect in effects:
            if isinstance(effect, Answered | Failed):
                assert effect.id not in ends
                ends[effect.id] = effect
    pair.now += 20
    for effect in pair.ask(None):
        if isinstance(effect, Failed):
            assert effect.id not in ends
            ends[effect.id] = effect
    pair.answer(None)
    assert sorted(ends) == list(range(1, asked + 1))
    assert pair.asker.open == pair.answerer.open == 0


@given(st.lists(st.binary(max_size=200), max_size=10))
def test_whatever_comes_breaks_at_most_the_stream(pieces: list[bytes]) -> None:
    for end in (Asker(), Answerer(KINDS.get)):
        for piece in pieces:
            for effect in end.handle(Heard(piece), 0.0):
                assert isinstance(effect, Say | Serve | Break | Failed | Answered | Abandon)
