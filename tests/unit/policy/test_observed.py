"""Where others see this node: one vote a network."""

from __future__ import annotations

from swarmnode.policy.observed import VOTE_SECONDS, SeenAs, Sighting, seen_as
from swarmnode.values.multiaddr import Multiaddr


def says(observer: str, seen: str, *, dialled: bool = False, at: float = 0.0) -> Sighting:
    return Sighting(Multiaddr.parse(observer), Multiaddr.parse(seen), dialled, at)


def test_two_networks_that_agree_are_enough_and_one_is_not() -> None:
    one = says("/ip4/1.1.1.1/tcp/1", "/ip4/9.9.9.9/tcp/40001")
    near = says("/ip4/1.1.1.77/tcp/1", "/ip4/9.9.9.9/tcp/40002")
    other = says("/ip4/8.8.8.8/tcp/1", "/ip4/9.9.9.9/tcp/8810", dialled=True)
    assert seen_as([one], 0.0) == ()
    assert seen_as([one, near], 0.0) == ()
    reached = (Multiaddr.parse("/ip4/9.9.9.9/tcp/8810"),)
    assert seen_as([one, near, other], 0.0) == (SeenAs("9.9.9.9", 2, 2, reached),)


def test_a_majority_decides() -> None:
    honest = [says(f"/ip4/1.1.{n}.1/tcp/1", "/ip4/9.9.9.9/tcp/1") for n in range(3)]
    # A thousand liars in one network have one vote.
    liars = [says(f"/ip4/2.2.2.{n % 250}/tcp/1", "/ip4/6.6.6.6/tcp/1") for n in range(1000)]
    assert [(s.ip, s.votes, s.voters) for s in seen_as(honest + liars, 0.0)] == [("9.9.9.9", 3, 4)]
    more = [says(f"/ip4/2.{n}.2.1/tcp/1", "/ip4/6.6.6.6/tcp/1") for n in range(3)]
    assert seen_as(honest + more, 0.0) == ()


def test_the_families_vote_apart() -> None:
    votes = [says(f"/ip4/1.1.{n}.1/tcp/1", "/ip4/9.9.9.9/tcp/1") for n in range(2)]
    votes += [says(f"/ip6/2a00:{n:x}::1/tcp/1", "/ip6/2a01::9/tcp/1") for n in range(1, 3)]
    assert [s.ip for s in seen_as(votes, 0.0)] == ["9.9.9.9", "2a01::9"]


def test_neighbours_and_private_addresses_and_old_votes_do_not_count() -> None:
    assert seen_as([says(f"/ip4/10.0.{n}.1/tcp/1", "/ip4/9.9.9.9/tcp/1") for n in range(3)], 0.0) == ()
    assert seen_as([says(f"/ip4/1.1.{n}.1/tcp/1", "/ip4/10.0.0.1/tcp/1") for n in range(3)], 0.0) == ()
    votes = [says(f"/ip4/1.1.{n}.1/tcp/1", "/ip4/9.9.9.9/tcp/1") for n in range(3)]
    assert seen_as(votes, VOTE_SECONDS) != ()
    assert seen_as(votes, VOTE_SECONDS + 1) == ()


def test_a_network_s_last_word_counts() -> None:
    votes = [says(f"/ip4/1.1.{n}.1/tcp/1", "/ip4/6.6.6.6/tcp/1", at=1.0) for n in range(2)]
    votes += [says(f"/ip4/1.1.{n}.2/tcp/1", "/ip4/9.9.9.9/tcp/1", at=2.0) for n in range(2)]
    assert [s.ip for s in seen_as(reversed(votes), 3.0)] == ["9.9.9.9"]
