"""Requests between nodes on one clock."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from swarmnode.protocols.swarm.frames import Tag, frame
from swarmnode.protocols.swarm.ids import protocol_id
from swarmnode.protocols.swarm.messages import KINDS, Kind
from swarmnode.protocols.swarm.requests import LONG, QUESTION_LIMITS, SHORT
from swarmnode.services import request_streams, talk_to_peers
from swarmnode.services.talk_to_peers import MAX_STREAMS, PeerTalk, Reply, Request
from swarmnode.testing.fake_host import DELAY, FakeNetwork
from swarmnode.values.errors import PeerFault, Refused, SwarmnodeError, Unavailable

TABLE = {
    **KINDS,
    "fetch": Kind("fetch", "MemberProbe", "MemberProbed", reply_payload=Tag.BULK, bulk=True),
    "novelty": Kind("novelty", "MemberProbe", "MemberProbed", feature="novelty"),
}


class Node:
    """A host and what talks on it."""

    def __init__(self, network: FakeNetwork, number: int, **options: Any) -> None:
        self.host = network.host(f"/ip4/10.0.0.{number}/tcp/1")
        self.faults: list[tuple[str, str]] = []
        self.talk = PeerTalk(
            self.host,
            network.clock,
            penalise=lambda peer, error: self.faults.append((peer, error.code)),
            **{"kinds": TABLE, **options},
        )
        self.talk.start()

    @property
    def id(self) -> str:
        return self.host.peer_id


class Pair:
    """Two connected nodes: one asks, one answers."""

    def __init__(self, asker: dict[str, Any] | None = None, answerer: dict[str, Any] | None = None) -> None:
        self.clock = Clock()
        self.network = FakeNetwork(self.clock)
        self.ada, self.bob = Node(self.network, 1, **(asker or {})), Node(self.network, 2, **(answerer or {}))
        self.network.join(self.ada.host, self.bob.host, self.bob.host.listening[0])

    def wait(self, seconds: float = 5 * DELAY) -> None:
        for _ in range(round(seconds / DELAY)):
            self.clock.advance(DELAY)

    def ask(self, kind: str = "member_probe", **options: Any) -> list[Any]:
        """What the Deferred came to."""
        outcome: list[Any] = []
        self.ada.talk.ask(self.bob.id, kind, **options).addCallbacks(
            outcome.append, lambda failure: outcome.append(failure.value)
        )
        return outcome


def test_a_question_is_answered() -> None:
    pair, asked = Pair(), []

    def answer(request: Request) -> dict[str, Any]:
        asked.append(request)
        return {"hears": True, "seconds": 1.5}

    pair.bob.talk.handle("member_probe", answer)
    outcome = pair.ask(fields={"peer": "carol"})
    pair.wait()
    assert (outcome[0].message.hears, outcome[0].message.seconds) == (True, 1.5)
    assert (asked[0].peer, asked[0].message.peer) == (pair.ada.id, "carol")
    assert pair.ada.talk.stats() == pair.bob.talk.stats() == {"asked": 0, "serving": 0, "pending_bytes": 0}


def test_a_deferred_answer_and_a_payload() -> None:
    pair, later = Pair(), Deferred()
    pair.bob.talk.handle("fetch", lambda request: later)
    outcome = pair.ask("fetch")
    pair.wait()
    assert not outcome
    later.callback(Reply({"hears": False}, b"piece"))
    pair.wait()
    assert outcome[0].payload == b"piece"
    assert pair.bob.host.served() == {protocol_id(lane.name, "") for lane in (SHORT, LONG)}


def test_one_stream_carries_many_questions() -> None:
    pair = Pair()
    pair.bob.talk.handle("member_probe", lambda request: {"hears": request.message.peer == "7"})
    outcomes = [pair.ask(fields={"peer": str(number)}) for number in range(20)]
    pair.wait()
    assert [one[0].message.hears for one in outcomes] == [number == 7 for number in range(20)]
    assert len(pair.ada.host.streams) == 1


@pytest.mark.parametrize(
    ("raised", "kind", "code"),
    [
        (Refused("not you", code="no"), Refused, "no"),
        (Unavailable("later", code="busy"), Unavailable, "busy"),
        (ZeroDivisionError("/secret/path"), Unavailable, "internal_error"),
    ],
    ids=["refused", "unavailable", "bug"],
)
def test_what_a_handler_raises_is_the_answer(raised: Exception, kind: type, code: str) -> None:
    pair = Pair()

    def answer(request: Request) -> None:
        raise raised

    pair.bob.talk.handle("member_probe", answer)
    outcome = pair.ask()
    pair.wait()
    assert type(outcome[0]) is kind
    assert outcome[0].code == code
    assert "secret" not in outcome[0].message
    assert pair.ada.faults == pair.bob.faults == []


def test_what_nobody_answers_is_unsupported() -> None:
    pair = Pair()
    outcome = pair.ask()
    pair.wait()
    assert outcome[0].code == "unsupported"
    assert "member_probe" in outcome[0].message


def test_an_answer_that_does_not_come_in_time() -> None:
    pair, cancelled = Pair(), []
    pair.bob.talk.handle("member_probe", lambda request: Deferred(cancelled.append))
    outcome = pair.ask(timeout=1.0)
    pair.wait(1.1)
    assert outcome[0].code == "timeout"
    assert len(cancelled) == 1
    assert pair.ada.talk.stats()["asked"] == pair.bob.talk.stats()["serving"] == 0


def test_who_gives_up_stops_the_work() -> None:
    pair, cancelled = Pair(), []
    pair.bob.talk.handle("member_probe", lambda request: Deferred(cancelled.append))
    answer = pair.ada.talk.ask(pair.bob.id, "member_probe")
    answer.addErrback(lambda failure: None)
    pair.wait()
    answer.cancel()
    pair.wait()
    assert len(cancelled) == 1


def test_when_the_peer_goes_its_questions_fail_and_its_work_stops() -> None:
    pair, cancelled = Pair(), []
    pair.bob.talk.handle("member_probe", lambda request: Deferred(cancelled.append))
    outcome = pair.ask()
    pair.wait()
    pair.network.part(pair.ada.host, pair.bob.host)
    assert isinstance(outcome[0], Unavailable)
    assert len(cancelled) == 1
    pair.network.join(pair.ada.host, pair.bob.host, pair.bob.host.listening[0])
    again = pair.ask(timeout=1.0)
    pair.wait(1.2)
    assert again[0].code == "timeout", "the next question opens another stream"


def test_a_peer_that_is_not_there() -> None:
    pair = Pair()
    pair.network.part(pair.ada.host, pair.bob.host)
    assert pair.ask()[0].code == "unreachable"
    assert pair.ask()[0].code == "unreachable"


def test_a_node_asks_itself_nothing() -> None:
    pair = Pair()
    outcome: list[Any] = []
    pair.ada.talk.ask(pair.ada.id, "member_probe").addErrback(lambda failure: outcome.append(failure.value))
    assert outcome[0].code == "self_request"


def test_after_the_end_nothing_is_asked_or_answered() -> None:
    pair = Pair()
    pair.bob.talk.handle("member_probe", lambda request: Deferred())
    open_one = pair.ask()
    pair.wait()
    pair.ada.talk.stop()
    assert open_one[0].code == "shutting_down"
    assert pair.ask()[0].code == "shutting_down"
    assert pair.ada.host.served() == frozenset()
    pair.wait()
    pair.bob.talk.stop()
    assert pair.bob.host.streams == []


# Versions.


@pytest.mark.parametrize(
    ("features", "code"), [(None, "no_hello"), (frozenset(), "unsupported"), (frozenset({"novelty"}), "")]
)
def test_what_is_new_goes_only_to_peers_that_know_it(features: frozenset[str] | None, code: str) -> None:
    pair = Pair(asker={"features": lambda peer: features})
    pair.bob.talk.handle("novelty", lambda request: {"hears": True})
    outcome = pair.ask("novelty")
    pair.wait()
    if code:
        assert outcome[0].code == code
        assert pair.ada.host.streams == [], "nothing was sent"
    else:
        assert outcome[0].message.hears


def test_a_feature_is_told_when_somebody_answers_what_needs_it() -> None:
    pair = Pair()
    pair.bob.talk.handle("member_probe", lambda request: {"hears": True})
    assert pair.bob.talk.features_served() == frozenset()
    pair.bob.talk.handle("novelty", lambda request: {"hears": True})
    assert pair.bob.talk.features_served() == {"novelty"}


def test_an_older_node_refuses_by_name_what_it_does_not_know() -> None:
    """The asker does not gate, as if it were careless; the answerer's table lacks the kind."""
    new = {**TABLE, "novelty": Kind("novelty", "MemberProbe", "MemberProbed")}
    pair = Pair(asker={"kinds": new}, answerer={"kinds": KINDS})
    outcome = pair.ask("novelty")
    pair.wait()
    assert (type(outcome[0]), outcome[0].code) == (Refused, "unsupported")
    pair.bob.talk.handle("member_probe", lambda request: {"hears": True})
    again = pair.ask()
    pair.wait()
    assert again[0].message.hears, "and goes on"


def test_a_newer_peer_is_answered_what_is_known() -> None:
    """A control of an unknown kind with a payload, then a question with an unknown field."""
    pair = Pair()
    pair.bob.talk.handle("member_probe", lambda request: {"hears": True})
    stream, receiver = raw_stream(pair)
    stream.write(frame(Tag.CONTROL, b"\x08\x01\x10\x03\x7a\x02hi") + frame(Tag.BULK, bytes(1000)))
    question = b"\x0a\x0cmember_probe\x10\xe8\x07\x1a\x05\xfa\x07\x02hi\x7a\x01x"
    stream.write(frame(Tag.CONTROL, b"\x08\x02\x1a" + bytes([len(question)]) + question))
    pair.wait()
    assert receiver.data == frame(Tag.CONTROL, b"\x08\x02\x22\x04\x0a\x02\x08\x01")
    assert pair.bob.faults == []


def test_payloads_that_do_not_belong_are_refused_here() -> None:
    pair = Pair()
    assert pair.ask(payload=b"x")[0].code == "message_too_large"
    pair.bob.talk.handle("member_probe", lambda request: Reply({}, b"x"))
    outcome = pair.ask()
    pair.wait()
    assert outcome[0].code == "message_too_large"


# Peers that break the rules.


class Raw:
    """A receiver that keeps what comes."""

    def __init__(self) -> None:
        self.data, self.over = b"", False

    def received(self, data: bytes) -> None:
        self.data += data

    def ended(self) -> None:
        pass

    def lost(self, error: SwarmnodeError | None) -> None:
        self.over = True

    def drained(self) -> None:
        pass


def raw_stream(pair: Pair) -> tuple[Any, Raw]:
    """A stream of ada's to bob's requests, to write anything to."""
    receiver, streams = Raw(), []
    pair.ada.host.open(pair.bob.id, (protocol_id(SHORT.name, ""),), receiver).addCallback(streams.append)
    pair.wait()
    return streams[0], receiver


def test_who_breaks_the_rules_is_dropped_and_reported() -> None:
    pair = Pair()
    stream, receiver = raw_stream(pair)
    stream.write(frame(Tag.BULK, b"x"))
    pair.wait()
    assert receiver.over
    assert pair.bob.faults == [(pair.ada.id, "bad_frame")]


def test_a_body_that_is_no_message_is_refused_and_reported() -> None:
    pair = Pair()
    pair.bob.talk.handle("member_probe", lambda request: {"hears": True})
    stream, receiver = raw_stream(pair)
    # id 1; a question of kind member_probe, 1 s, whose body is cut off.
    question = b"\x0a\x0cmember_probe\x10\xe8\x07\x1a\x02\x0a\x09"
    stream.write(frame(Tag.CONTROL, b"\x08\x01\x1a" + bytes([len(question)]) + question))
    pair.wait()
    assert b"bad_message" in receiver.data
    assert pair.bob.faults == [(pair.ada.id, "bad_message")]


def test_one_peer_opens_few_streams() -> None:
    pair = Pair()
    receivers = [raw_stream(pair)[1] for _ in range(MAX_STREAMS + 2)]
    pair.wait()
    assert [receiver.over for receiver in receivers] == [False] * MAX_STREAMS + [True] * 2


def test_what_all_peers_send_at_once_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk_to_peers, "MAX_PENDING", 100_000)
    # Of what may be this long there are only payloads, which none of these kinds has.
    monkeypatch.setitem(QUESTION_LIMITS, Tag.CONTROL, 1 << 20)
    pair = Pair()
    stream, receiver = raw_stream(pair)
    stream.write(frame(Tag.CONTROL, bytes(1 << 20))[:90_000])
    pair.wait()
    assert not receiver.over
    stream.write(bytes(20_000))
    pair.wait()
    assert receiver.over
    assert pair.bob.talk.stats()["pending_bytes"] == 0
    assert pair.bob.faults == [], "others may have filled the room"


def test_an_answer_that_is_no_message_fails_and_is_reported() -> None:
    pair = Pair()
    pair.bob.talk.handle("member_view", lambda request: _Bytes(b"\x0a\x05abc"))
    outcome = pair.ask("member_view")
    pair.wait()
    assert isinstance(outcome[0], PeerFault)
    assert pair.ada.faults == [(pair.bob.id, "bad_message")]


class _Bytes:
    """A message that is written as it is."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def SerializeToString(self) -> bytes:
        return self.data


def test_only_requests_are_handled_and_by_one_handler() -> None:
    talk = Pair().bob.talk
    talk.handle("member_probe", lambda request: {})
    for kind in ("member_probe", "nickname"):
        with pytest.raises(ValueError, match=kind):
            talk.handle(kind, lambda request: {})


def test_a_slow_reader_asks_nothing_more_until_it_has_read() -> None:
    """Answers wait for the window of whoever asked; meanwhile its questions wait in its own."""
    pair = Pair()
    pair.bob.talk.handle("member_probe", lambda request: {"hears": True})
    pair.ask()
    pair.wait()
    (stream,) = pair.bob.host.streams
    calls: list[str] = []
    stream.pause, stream.resume = lambda: calls.append("pause"), lambda: calls.append("resume")
    stream.waiting = 2 << 20
    pair.ask()
    pair.ask()
    pair.wait()
    assert calls == ["pause"]
    stream.waiting = 0
    assert stream.receiver is not None
    stream.receiver.drained()
    assert calls == ["pause", "resume"]


def test_answers_that_nobody_reads_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk_to_peers, "MAX_UNREAD", 1000)
    pair = Pair()
    pair.bob.talk.handle("fetch", lambda request: Reply({}, bytes(600)))
    first = pair.ask("fetch")
    pair.wait()
    assert len(first[0].payload) == 600
    pair.bob.host.streams[0].waiting = 600
    second = pair.ask("fetch")
    pair.wait()
    assert second[0].code == "too_much_at_once"
    assert second[0].kind == "unavailable"


# Streams that take their time to open.


class SlowOpening:
    """Holds back what the host opens."""

    def __init__(self, pair: Pair) -> None:
        self.held: list[Deferred[Any]] = []
        self.cancelled: list[str] = []
        self._open = pair.ada.host.open
        pair.ada.host.open = self.open  # type: ignore[method-assign]

    def open(self, peer: str, protocols: Any, receiver: Any) -> Deferred[Any]:
        self.held.append(Deferred(lambda _: self.cancelled.append(peer)))
        self._receiver, self._asked = receiver, (peer, protocols)
        return self.held[-1]

    def let_go(self) -> None:
        self._open(*self._asked, self._receiver).addCallback(self.held[-1].callback)


def test_questions_wait_for_their_stream_in_order() -> None:
    pair = Pair()
    slow = SlowOpening(pair)
    asked: list[str] = []
    pair.bob.talk.handle("member_probe", lambda request: asked.append(request.message.peer) or {})
    outcomes = [pair.ask(fields={"peer": name}) for name in "abc"]
    pair.wait()
    assert len(slow.held) == 1
    slow.let_go()
    pair.wait()
    assert asked == ["a", "b", "c"]
    assert all(isinstance(one[0], Reply) for one in outcomes)


def test_time_runs_while_a_stream_is_opened() -> None:
    pair = Pair()
    slow = SlowOpening(pair)
    pair.bob.talk.handle("member_probe", lambda request: {})
    outcome = pair.ask(timeout=1.0)
    pair.wait(1.1)
    assert outcome[0].code == "timeout"
    slow.let_go()
    pair.wait()
    assert pair.bob.talk.stats()["serving"] == 0


@pytest.mark.parametrize(
    ("error", "code"), [(Unavailable("no", code="unreachable"), "unreachable"), (OSError("no"), "peer_gone")]
)
def test_a_stream_that_does_not_open_fails_all_that_waited(error: Exception, code: str) -> None:
    pair = Pair()
    slow = SlowOpening(pair)
    outcomes = [pair.ask() for _ in range(3)]
    slow.held[0].errback(error)
    assert [one[0].code for one in outcomes] == [code] * 3
    pair.ask()
    assert len(slow.held) == 2, "the next question tries again"


def test_the_end_comes_while_a_stream_is_opened() -> None:
    pair = Pair()
    slow = SlowOpening(pair)
    outcome = pair.ask()
    pair.ada.talk.stop()
    assert outcome[0].code == "shutting_down"
    assert slow.cancelled == [pair.bob.id]


def test_what_waits_for_a_stream_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_streams, "MAX_WAITING", 300)
    pair = Pair()
    SlowOpening(pair)
    outcomes = [pair.ask(fields={"peer": "x" * 50}) for _ in range(10)]
    assert outcomes[0][0].code == "too_many_requests"
    assert all(outcomes[:4])


def test_a_peer_that_ends_its_side_answers_no_more() -> None:
    pair = Pair()
    pair.bob.talk.handle("member_probe", lambda request: Deferred())
    outcome = pair.ask()
    pair.wait()
    pair.bob.host.streams[0].end()
    pair.wait()
    assert outcome[0].code == "peer_gone"
    assert pair.ada.host.streams == pair.bob.host.streams == []


def test_an_answerer_that_breaks_the_rules_is_dropped_and_reported() -> None:
    pair = Pair()
    pair.bob.talk.handle("member_probe", lambda request: Deferred())
    outcome = pair.ask()
    pair.wait()
    pair.bob.host.streams[0].write(frame(Tag.BULK, b"x"))
    pair.wait()
    assert outcome[0].code == "bad_frame"
    assert pair.ada.faults == [(pair.bob.id, "bad_frame")]


def test_a_reply_of_the_wrong_sort_is_a_bug_here_and_no_more() -> None:
    pair = Pair()
    pair.bob.talk.handle("member_probe", lambda request: 17)
    outcomes = [pair.ask(), pair.ask()]
    pair.wait()
    assert [one[0].code for one in outcomes] == ["internal_error"] * 2


@pytest.mark.parametrize(("who", "code"), [("ada", "machine_failed"), ("bob", "stream_reset")])
def test_a_bug_in_a_machine_ends_its_stream_only(who: str, code: str) -> None:
    pair = Pair()
    pair.bob.talk.handle("member_probe", lambda request: {"hears": True})
    pair.ask()
    pair.wait()
    getattr(pair, who).host.streams[0].write = lambda data: 1 / 0
    outcome = pair.ask()
    pair.wait()
    assert outcome[0].code == code
    again = pair.ask()
    pair.wait()
    assert again[0].message.hears


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=5))
def test_whatever_a_peer_sends_the_next_one_is_served(pieces: list[bytes]) -> None:
    pair = Pair()
    pair.bob.talk.handle("member_probe", lambda request: {"hears": True})
    stream, _ = raw_stream(pair)
    for piece in pieces:
        stream.write(piece)
    pair.wait()
    assert {code for _, code in pair.bob.faults} <= {"bad_frame", "frame_too_large", "bad_message"}
    outcome = pair.ask()
    pair.wait()
    assert outcome[0].message.hears
