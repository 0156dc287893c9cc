"""Who stays in a mesh: properties over many meshes."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from swarmnode.protocols.gossipsub.parameters import GossipParameters
from swarmnode.protocols.gossipsub.selection import (
    better_candidates,
    chosen,
    quota_candidates,
    surplus,
)

P = GossipParameters()
PEERS = [f"p{number}" for number in range(40)]


@given(st.integers(13, 40), st.sets(st.sampled_from(PEERS)), st.integers(), st.data())
def test_pruning_leaves_the_degree_the_best_and_the_quota(
    size: int, outbound: set[str], seed: int, data: st.DataObject
) -> None:
    members = PEERS[:size]
    score = {p: data.draw(st.floats(0, 100)) for p in members}
    leaving = surplus(members, score.__getitem__, outbound.__contains__, P, random.Random(seed))
    staying = [p for p in members if p not in leaving]
    assert len(staying) == P.degree
    dialled = [p for p in staying if p in outbound]
    assert len(dialled) >= min(P.degree_out, len(outbound & set(members)))
    # Four best of six and a quota of two: nobody has to make room.
    least_best = sorted(score.values(), reverse=True)[P.degree_score - 1]
    assert all(p in staying for p in members if score[p] > least_best)


def test_pruning_makes_room_for_the_quota_where_the_best_fill_the_mesh() -> None:
    tight = GossipParameters(degree=6, degree_score=6, degree_out=2)
    members, score = PEERS[:13], {p: 100.0 - n for n, p in enumerate(PEERS)}
    dialled = {"p11", "p12"}
    leaving = surplus(members, score.__getitem__, dialled.__contains__, tight, random.Random(1))
    assert set(members) - set(leaving) == {"p0", "p1", "p2", "p3", "p11", "p12"}


def test_chance_decides_over_the_rest() -> None:
    def left(seed: int) -> tuple[str, ...]:
        return tuple(surplus(PEERS, lambda p: 0.0, lambda p: False, P, random.Random(seed)))

    assert left(1) == left(1)
    assert len({left(seed) for seed in range(10)}) > 5


def test_the_quota_is_filled_from_those_we_dialled() -> None:
    dialled = {"p1", "p8", "p9"}.__contains__
    rng = random.Random(1)
    assert set(quota_candidates(PEERS[:6], PEERS[6:10], dialled, P, rng)) < {"p8", "p9"}
    assert len(quota_candidates(PEERS[:6], PEERS[6:10], dialled, P, rng)) == 1
    assert quota_candidates(PEERS[:10], PEERS[10:], dialled, P, rng) == []


def test_a_poor_mesh_gets_better_peers() -> None:
    rng, better = random.Random(1), {p: float(n) for n, p in enumerate(PEERS)}
    low = {p: 0.5 if p in PEERS[:6] else better[p] for p in PEERS}
    assert len(better_candidates(PEERS[:6], PEERS[6:], low.__getitem__, P, rng)) == P.opportunistic_peers
    assert better_candidates(PEERS[10:16], PEERS[20:], better.__getitem__, P, rng) == []
    assert better_candidates(PEERS[:6], PEERS[6:], lambda p: 0.0, P, rng) == []
    assert better_candidates(PEERS[:1], PEERS[6:], low.__getitem__, P, rng) == []


def test_chosen_takes_no_more_than_there_are() -> None:
    rng = random.Random(1)
    assert sorted(chosen([1, 2], 5, rng)) == [1, 2]
    assert chosen([1, 2], -1, rng) == []
