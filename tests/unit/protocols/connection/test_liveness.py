"""Signs of life: when the peer is asked, when it counts as quiet, and when it is given up."""

from __future__ import annotations

import pytest

from swarmnode.protocols.connection.allowance import Allowance
from swarmnode.protocols.connection.liveness import MEASURE_EVERY, Finding, Liveness
from swarmnode.values.errors import PeerFault


def findings(watch: Liveness, start: float, end: float, talks: float | None = None) -> list[tuple]:
    """What `look` finds at its deadlines; `talks`: the peer says something so often, but answers no ping."""
    found, now, spoken = [], start, start
    while (now := max(now, watch.deadline)) < end:
        if talks is not None:
            while spoken + talks <= now:
                spoken += talks
                watch.heard(spoken)
        finding = watch.look(now)
        assert finding is Finding.DEAD or watch.deadline > now, "it would be looked at again at once"
        found.append((now, finding))
        if finding is Finding.DEAD:
            break
    return [(at, finding) for at, finding in found if finding is not Finding.FINE]


def test_a_peer_that_never_answers() -> None:
    assert findings(Liveness(0.0), 0.0, 60.0) == [
        (0.0, Finding.PING),
        *((4.5 + second, Finding.QUIET) for second in range(6)),
        (10.0, Finding.DEAD),
    ]


def test_silence_after_an_answer_is_asked_about_after_three_seconds() -> None:
    watch = Liveness(0.0)
    assert watch.look(0.0) is Finding.PING
    watch.heard(0.2)
    assert watch.answered(0.2) == pytest.approx(0.2)
    assert watch.answered(0.3) is None
    assert findings(watch, 0.2, 5.0)[:2] == [
        (pytest.approx(3.2), Finding.PING),
        (pytest.approx(4.7), Finding.QUIET),
    ]


def test_a_busy_connection_is_measured_now_and_then() -> None:
    watch = Liveness(0.0)
    watch.look(0.0)
    watch.answered(0.1)
    assert [at for at, finding in findings(watch, 0.1, 70.0, talks=0.5) if finding is Finding.PING] == [
        MEASURE_EVERY,
        2 * MEASURE_EVERY,
    ]


def test_a_peer_that_talks_and_answers_no_pings_lives() -> None:
    found = findings(Liveness(0.0), 0.0, 100.0, talks=1.0)
    assert {finding for _, finding in found} == {Finding.PING}
    assert [at for at, _ in found] == [0.0, 30.0, 60.0, 90.0]


def test_an_allowance_is_a_burst_and_a_rate() -> None:
    allowance = Allowance(3, 2, "knocks", "knock_flood")
    for _ in range(3):
        allowance.spend(10.0)
    with pytest.raises(PeerFault, match="too many knocks") as fault:
        allowance.spend(10.0)
    assert fault.value.code == "knock_flood"
    allowance.spend(10.5)
    with pytest.raises(PeerFault):
        allowance.spend(10.6)
    for now in range(20, 40):
        allowance.spend(now / 1.0)


def test_the_side_that_dialled_asks_for_both():
    dialled, listened = Liveness(0.0, dialled=True), Liveness(0.0)
    asked = {"dialled": 0, "listened": 0}
    for tick in range(1, 2401):
        now = tick / 20
        for name, one, other in (("dialled", dialled, listened), ("listened", listened, dialled)):
            if now >= one.deadline and one.look(now) is Finding.PING:
                asked[name] += 1
                other.heard(now)
                one.heard(now)
                one.answered(now)
    # Each measures now and then for itself; the rest is asked by one side.
    assert asked["listened"] <= 5 < 40 <= asked["dialled"]
