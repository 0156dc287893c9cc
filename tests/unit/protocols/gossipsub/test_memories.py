"""What is remembered: seen messages, cached ones, promises, back-offs, waiting RPCs. All of it bounded."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from swarmnode.protocols.gossipsub.backoff import Backoffs
from swarmnode.protocols.gossipsub.message_cache import MessageCache
from swarmnode.protocols.gossipsub.messages import Message
from swarmnode.protocols.gossipsub.parameters import MAX_RETRANSMISSIONS, PROMISE_SECONDS
from swarmnode.protocols.gossipsub.promises import Promises
from swarmnode.protocols.gossipsub.queue import RpcQueue
from swarmnode.protocols.gossipsub.seen import Fate, Seen
from swarmnode.protocols.gossipsub.vocabulary import Urgency


def message(number: int, topic: str = "t", size: int = 10) -> Message:
    return Message("author", topic, b"", b"", b"%d" % number, bytes(size))


def test_seen_messages_are_forgotten_after_two_minutes() -> None:
    seen = Seen()
    seen.add(b"a", Fate.VALID, 0.0)
    assert seen.get(b"a", 119.9) is not None
    assert seen.get(b"a", 120.0) is None
    seen.expire(120.0)
    assert len(seen) == 0


def test_the_oldest_seen_message_makes_room() -> None:
    seen = Seen(limit=3)
    for number in range(5):
        seen.add(b"%d" % number, Fate.VALID, float(number))
    assert len(seen) == 3
    assert [seen.get(b"%d" % n, 5.0) is not None for n in range(5)] == [False, False, True, True, True]


def test_messages_are_announced_for_three_heartbeats_and_kept_for_five() -> None:
    cache = MessageCache(5, 3)
    cache.put(message(1))
    for _ in range(3):
        assert cache.announced() == {"t": [b"1"]}
        cache.shift()
    assert cache.announced() == {}
    assert cache.demanded(b"1", "p") is not None
    cache.shift()
    assert len(cache) == 1
    cache.shift()
    assert (len(cache), cache.size) == (0, 0)
    assert cache.demanded(b"1", "p") is None


def test_a_message_is_handed_out_a_few_times_to_each() -> None:
    cache = MessageCache(5, 3)
    cache.put(message(1))
    for peer in ("p", "q"):
        answers = [cache.demanded(b"1", peer) is not None for _ in range(MAX_RETRANSMISSIONS + 2)]
        assert answers == [True] * MAX_RETRANSMISSIONS + [False, False]


def test_the_cache_is_bounded_in_messages_and_bytes() -> None:
    cache = MessageCache(5, 3, max_messages=10, max_bytes=100)
    for number in range(30):
        cache.put(message(number, size=15))
        cache.put(message(number, size=15))
        if number % 7 == 0:
            cache.shift()
    assert (len(cache), cache.size) == (6, 90)
    assert sorted(i for ids in cache.announced().values() for i in ids) == [b"%d" % n for n in range(24, 30)]
    small = MessageCache(5, 3, max_messages=10)
    for number in range(30):
        small.put(message(number))
    assert len(small) == 10


def test_a_promise_is_kept_by_whoever_brings_the_message() -> None:
    promises = Promises(random.Random(1))
    promises.asked("p", [b"a"], 0.0)
    assert promises.awaited(b"a", 0.5)
    assert not promises.awaited(b"a", 1.0)
    promises.came(b"a")
    assert not promises.awaited(b"a", 0.5)
    assert promises.broken(100.0) == {}


def test_one_promise_in_an_iwant_is_held_against_the_peer_once() -> None:
    promises = Promises(random.Random(1))
    promises.asked("p", [b"a", b"b", b"c"], 0.0)
    promises.asked("q", [b"a", b"b", b"c"], 1.0)
    assert promises.broken(PROMISE_SECONDS - 0.1) == {}
    assert promises.broken(PROMISE_SECONDS) == {"p": 1}
    assert promises.broken(PROMISE_SECONDS + 1) == {"q": 1}
    assert promises.broken(100.0) == {}
    assert len(promises) == 0


def test_one_that_goes_is_asked_for_nothing() -> None:
    promises = Promises(random.Random(1))
    promises.asked("p", [b"a"], 0.0)
    promises.asked("q", [b"a"], 0.0)
    promises.forget("p")
    assert promises.broken(100.0) == {"q": 1}


def test_promises_are_bounded() -> None:
    promises = Promises(random.Random(1), limit=5)
    for number in range(50):
        promises.asked("p", [b"%d" % number], 0.0)
    assert len(promises) == 5
    assert sum(promises.awaited(b"%d" % n, 0.0) for n in range(50)) == 5


def test_a_backoff_only_grows_ends_and_is_bounded() -> None:
    backoffs = Backoffs(limit=3)
    backoffs.add("t", "p", 10.0)
    backoffs.add("t", "p", 5.0)
    assert backoffs.until("t", "p") == 10.0
    assert backoffs.until("u", "p") < 0
    backoffs.expire(10.0)
    assert len(backoffs) == 0
    for number in range(10):
        backoffs.add("t", str(number), 10.0)
    assert len(backoffs) == 3
    assert backoffs.until("t", "9") == 10.0


def test_the_urgent_goes_first_and_the_rest_is_dropped_first() -> None:
    queue = RpcQueue(max_rpcs=3, max_bytes=100)
    for name, urgency in ((b"g1", Urgency.GOSSIP), (b"f", Urgency.FORWARD), (b"g2", Urgency.GOSSIP)):
        assert queue.put(name, urgency)
    assert queue.put(b"own", Urgency.OWN)
    assert queue.put(b"control", Urgency.CONTROL)
    assert [queue.pop() for _ in range(4)] == [b"control", b"own", b"f", None]
    assert queue.dropped[Urgency.GOSSIP] == 2


def test_a_peer_that_takes_not_even_control_is_given_up() -> None:
    queue = RpcQueue(max_rpcs=2, max_bytes=100)
    assert queue.put(b"1", Urgency.CONTROL)
    assert queue.put(b"2", Urgency.CONTROL)
    assert not queue.put(b"3", Urgency.CONTROL)


@given(st.lists(st.tuples(st.sampled_from(Urgency), st.integers(0, 60), st.booleans()), max_size=60))
def test_the_queue_stays_within_its_bounds(steps: list[tuple[Urgency, int, bool]]) -> None:
    queue = RpcQueue(max_rpcs=5, max_bytes=100)
    inside = 0
    for urgency, size, take in steps:
        queue.put(bytes(size), urgency)
        inside += 1
        if take and queue.pop() is not None:
            inside -= 1
        assert len(queue) <= 5
        assert queue.size <= 100
        assert inside - sum(queue.dropped.values()) == len(queue)
