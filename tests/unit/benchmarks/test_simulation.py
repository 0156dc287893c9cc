"""The benchmark of simulated swarms, on a small one."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import simulation

GOOD: dict[str, Any] = {
    "swarms": [
        {
            "nodes": nodes,
            "gossip": {"reach": 1.0},
            "requests": {"peer": 2.0, "key": key, "found": 1.0},
            "errors": 0,
            "processor_seconds": 1.0,
        }
        for nodes, key in ((10, 9.0), (100, 22.5), (1000, 31.0))
    ],
    "idle": {"nodes": 50, "bytes_in": 1500.0},
}


def test_a_small_swarm_is_measured_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulation.main(["--sizes", "6,12", "--no-idle", "--out", str(tmp_path)]) == 0
    assert "all goals are met" in capsys.readouterr().out
    raw = json.loads((tmp_path / "raw" / "network-simulation.json").read_text())
    assert [one["nodes"] for one in raw["swarms"]] == [6, 12]
    for one in raw["swarms"]:
        # Everybody is asked when there are fewer than the twenty nearest.
        assert one["requests"]["key"] == one["nodes"] - 1
        assert one["gossip"]["reach"] == 1.0 and one["gossip"]["last_seconds"] > 0.03
    assert "idle" not in raw
    assert "<svg" in (tmp_path / "network-simulation.svg").read_text()


def test_the_same_size_gives_the_same_figures() -> None:
    one, other = simulation.swarm(5), simulation.swarm(5)
    for figures in (one, other):
        assert figures.pop("processor_seconds") > 0
    assert one == other


def test_the_picture_has_each_size_and_higher_points_for_more() -> None:
    root = ElementTree.fromstring(simulation.plot(GOOD["swarms"]))
    name = "{http://www.w3.org/2000/svg}"
    texts = [element.text for element in root.iter(f"{name}text")]
    assert {"10", "100", "1,000"} <= set(texts)
    first, second = root.iter(f"{name}polyline")
    points = [tuple(map(float, point.split(","))) for point in first.get("points", "").split()]
    assert len(points) == 3
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert [y for _, y in points] == sorted((y for _, y in points), reverse=True)
    # By the logarithm: 10, 100 and 1,000 are as far from each other.
    assert points[1][0] - points[0][0] == pytest.approx(points[2][0] - points[1][0], abs=0.5)
    assert all(0 <= x <= simulation.WIDTH and 0 <= y <= simulation.HEIGHT for x, y in points)
    assert second.get("points") != first.get("points")


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("swarms", 2, "gossip", "reach"), 0.998, "gossip reaches 99.800% of 1000 nodes"),
        (("swarms", 1, "requests", "found"), 0.9, "90% of peers are found among 100"),
        (("swarms", 0, "errors"), 3, "3 errors are logged among 10"),
        (("swarms", 2, "processor_seconds"), 400.0, "it takes 402 s of one core"),
        (("idle", "bytes_in"), 2001.0, "50 idle nodes get 2001 bytes a second"),
    ],
)
def test_a_goal_that_is_missed_is_named(path: tuple[Any, ...], value: Any, told: str) -> None:
    figures = copy.deepcopy(GOOD)
    assert simulation.missed(figures) == []
    place: Any = figures
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert simulation.missed(figures) == [told]
