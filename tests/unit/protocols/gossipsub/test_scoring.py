"""The score function: every part by itself, decay, and what stays after a peer has gone."""

from __future__ import annotations

import pytest

from swarmnode.protocols.gossipsub.score_parameters import (
    ScoreParameters,
    TopicScore,
    busy_topic,
    decay_to,
)
from swarmnode.protocols.gossipsub.scoring import MAX_REGARD, Scores, address_group

T = "topic"


def scores(topic: TopicScore | None = None, **parameters: object) -> Scores:
    made = Scores(ScoreParameters(**parameters))  # type: ignore[arg-type]
    made.know_topic(T, topic)
    made.added("p", "10.0.0.1", 0.0)
    return made


def test_a_stranger_has_nothing() -> None:
    made = scores()
    assert made.score("nobody", 0.0) == 0
    assert made.score("p", 0.0) == 0


def test_time_in_the_mesh_counts_up_to_a_cap() -> None:
    made = scores()
    made.grafted("p", T, 0.0)
    assert made.score("p", 100.0) == pytest.approx(1.0)
    assert made.score("p", 300.0) == made.score("p", 5000.0) == pytest.approx(3.0)
    made.left("p", T, 5000.0)
    assert made.score("p", 5001.0) == 0


def test_first_deliveries_count_up_to_a_cap_and_fade() -> None:
    made = scores()
    for _ in range(5):
        made.delivered("p", T, 0.0, first=True)
    assert made.score("p", 0.5) == pytest.approx(5.0)
    assert made.score("p", 60.0) == pytest.approx(2.5)
    for _ in range(50):
        made.delivered("p", T, 60.0, first=True)
    assert made.score("p", 60.0) == pytest.approx(20.0)
    assert made.score("p", 3600.0) == 0


def test_decay_is_the_same_however_often_it_is_looked_at() -> None:
    one, other = scores(), scores()
    for made in (one, other):
        for _ in range(3):
            made.invalid("p", T, 0.0)
    for second in range(1, 100):
        one.score("p", float(second))
    assert one.score("p", 100.0) == pytest.approx(other.score("p", 100.0))


def test_third_invalid_message_of_a_stranger_reaches_the_graylist() -> None:
    made, thresholds = scores(), ScoreParameters().thresholds
    made.invalid("p", T, 0.0)
    assert made.score("p", 0.0) == pytest.approx(-10)
    made.invalid("p", T, 0.0)
    assert thresholds.graylist < made.score("p", 0.0) < thresholds.gossip
    made.invalid("p", T, 0.0)
    assert made.score("p", 0.0) < thresholds.graylist
    assert made.score("p", 1200.0) > -1, "and it is forgiven in time"


def test_an_invalid_message_in_an_unknown_topic_is_a_slip() -> None:
    made = scores()
    for _ in range(6):
        made.invalid("p", "elsewhere", 0.0)
    assert made.score("p", 0.0) == pytest.approx(-10)


def test_slips_are_forgiven_up_to_a_number() -> None:
    made = scores()
    made.slipped("p", 5, 0.0)
    assert made.score("p", 0.0) == 0
    made.slipped("p", 3, 0.0)
    assert made.score("p", 0.0) == pytest.approx(-90)
    assert made.score("p", 600.0) == 0


def test_the_applications_points_count_within_bounds() -> None:
    made = scores()
    made.regard("p", 7.5, 0.0)
    assert made.score("p", 0.0) == 7.5
    made.regard("p", -1e9, 0.0)
    assert made.score("p", 0.0) == -MAX_REGARD
    made.regard("nobody", 5, 0.0)
    assert made.score("nobody", 0.0) == 0


def test_topics_together_have_a_cap_upwards_only() -> None:
    made = scores(topics_cap=4.0)
    for _ in range(10):
        made.delivered("p", T, 0.0, first=True)
    assert made.score("p", 0.0) == 4.0
    for _ in range(3):
        made.invalid("p", T, 0.0)
    assert made.score("p", 0.0) == pytest.approx(10 - 90)


def test_a_deficit_of_deliveries_counts_where_the_rate_is_known() -> None:
    made = scores(busy_topic(10.0))
    for peer in ("q", "r"):
        made.added(peer, "", 0.0)
        made.grafted(peer, T, 0.0)
    for second in range(60):
        for _ in range(5):
            made.delivered("q", T, float(second), first=False)
    assert made.score("r", 59.0) > 0, "not before it had its time"
    assert made.score("q", 61.0) > 0
    assert made.score("r", 61.0) == pytest.approx(-10 + 0.61)
    made.left("r", T, 61.0)
    assert made.score("r", 61.0) == pytest.approx(-10), "and it sticks"


def test_a_quiet_topic_punishes_no_silence() -> None:
    made = scores()
    made.grafted("p", T, 0.0)
    assert made.score("p", 86_400.0) > 0
    made.left("p", T, 86_400.0)
    assert made.score("p", 86_400.0) == 0


def test_a_crowd_on_one_public_address_costs_all_of_it() -> None:
    made = Scores(ScoreParameters())
    for number in range(12):
        made.added(f"p{number}", "45.3.2.1", 0.0)
    made.added("other", "45.3.2.2", 0.0)
    assert made.score("p0", 0.0) == made.score("p11", 0.0) == pytest.approx(-20)
    assert made.score("other", 0.0) == 0
    made.gone("p11", 0.0)
    made.gone("p10", 0.0)
    assert made.score("p0", 0.0) == 0


@pytest.mark.parametrize(
    "ip", ["10.1.2.3", "192.168.0.4", "127.0.0.1", "::1", "fe80::1%eth0", "100.64.3.2", "fd00::1", "", "name"]
)
def test_private_addresses_are_exempt(ip: str) -> None:
    made = Scores(ScoreParameters())
    for number in range(40):
        made.added(f"p{number}", ip, 0.0)
    assert made.score("p0", 0.0) == 0


def test_addresses_are_grouped() -> None:
    assert address_group("2a01:4f8:1:2::1") == address_group("2a01:4f8:1:2:ffff::9") != ""
    assert address_group("2a01:4f8:1:3::1") != address_group("2a01:4f8:1:2::1")
    assert address_group("::ffff:45.3.2.1") == address_group("45.3.2.1") == "45.3.2.1"


def test_a_bad_name_outlasts_a_reconnection_and_does_not_mend_meanwhile() -> None:
    made = scores()
    for _ in range(3):
        made.invalid("p", T, 0.0)
    before = made.score("p", 0.0)
    made.gone("p", 0.0)
    assert made.retained == 1
    made.added("p", "10.0.0.1", 1000.0)
    assert made.retained == 0
    assert made.score("p", 1000.0) == pytest.approx(before)
    assert made.score("p", 1600.0) > before / 10


def test_a_bad_name_is_forgotten_in_the_end_and_a_good_one_at_once() -> None:
    made = scores()
    made.added("good", "", 0.0)
    made.delivered("good", T, 0.0, first=True)
    made.invalid("p", T, 0.0)
    made.gone("p", 0.0)
    made.gone("good", 0.0)
    assert made.retained == 1
    made.expire(3599.0)
    assert made.retained == 1
    made.expire(3600.0)
    assert made.retained == 0
    made.added("p", "", 3600.0)
    assert made.score("p", 3600.0) == 0


def test_credit_does_not_outlast_a_connection() -> None:
    made = scores()
    made.invalid("p", T, 0.0)
    for _ in range(20):
        made.delivered("p", T, 0.0, first=True)
    made.gone("p", 0.0)
    made.added("p", "", 1.0)
    assert made.score("p", 1.0) == pytest.approx(-10)


def test_memory_is_bounded_and_keeps_the_worst() -> None:
    made = Scores(ScoreParameters(retained=16))
    made.know_topic(T, None)
    made.added("worst", "", 0.0)
    made.slipped("worst", 50, 0.0)
    made.gone("worst", 0.0)
    for number in range(100):
        made.added(f"p{number}", "", 0.0)
        made.slipped(f"p{number}", 1, 0.0)
        made.gone(f"p{number}", 0.0)
        assert made.retained <= 16
    made.added("worst", "", 1.0)
    assert made.score("worst", 1.0) < -1000


def test_a_snapshot_shows_the_parts() -> None:
    made = scores()
    made.delivered("p", T, 0.0, first=True)
    made.regard("p", 2.0, 0.0)
    (shown,) = made.snapshot(0.0)
    assert (shown.peer, shown.score, shown.topics, shown.application) == ("p", 3.0, 1.0, 2.0)


def test_a_peer_added_twice_counts_once_at_its_address() -> None:
    made = Scores(ScoreParameters())
    for _ in range(30):
        made.added("p", "45.3.2.1", 0.0)
    assert made.score("p", 0.0) == 0


def test_decay_reaches_its_goal() -> None:
    assert decay_to(0.1, 600) ** 600 == pytest.approx(0.1)
