"""`swarmnode test-split`: a split model says the same, also when any stage is killed at any stage of work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SWARMNODE_SHARED", ROOT.parent / "shared"))
STORIES = SHARED / "data/stories260K/stories260K.f32.gguf"
GUIDE = ROOT / "swarmnode/inference/guide/guide.gguf"

needs_stories = pytest.mark.skipif(not STORIES.is_file(), reason=f"{STORIES} is not there")
needs_guide = pytest.mark.skipif(not GUIDE.is_file(), reason="the guide model is not built yet")


def split(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "swarmnode.cli.main", "test-split", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=110,
    )


def report(done: subprocess.CompletedProcess[str]) -> dict:
    assert done.stdout.count("\n") == 1, done.stdout + done.stderr
    return json.loads(done.stdout)


def check(done: subprocess.CompletedProcess[str], stages: int) -> dict:
    said = report(done)
    assert done.returncode == 0 and said["ok"], done.stderr
    names = {row["scenario"]: row for row in said["scenarios"]}
    for sampling in ("greedy", "seeded"):
        assert names[sampling]["kills"] == 0
        for when in ("prefill", "decode"):
            for stage in range(stages):
                row = names[f"{sampling}, stage {stage} killed in {when}"]
                assert row["kills"] == 1 and row["identical"] and row["tokens"] > 1
    return said


@needs_stories
def test_two_stages_survive_every_kill() -> None:
    said = check(split("--model", str(STORIES), "--kill", "both", "--json"), 2)
    assert said["split"] == "0-1,2-4"
    assert said["profile"].startswith("cpu-1:")
    assert said["texts"]["greedy"] != said["texts"]["seeded"]


@needs_stories
def test_three_stages_cut_by_hand_survive_every_kill() -> None:
    done = split(
        "--model", str(STORIES), "--split", "0-0,1-3,4-99", "--kill", "both", "--seed", "3", "--json"
    )
    assert check(done, 3)["split"] == "0-0,1-3,4-4"


@needs_stories
def test_the_reference_survives_too() -> None:
    said = check(split("--model", str(STORIES), "--backend", "numpy", "--kill", "both", "--json"), 2)
    assert said["profile"].startswith("numpy-1/")


#: A first stage that has lost a layer: what comes out of it is wrong.
DAMAGED = """
import sys
from swarmnode.cli.main import main
from swarmnode.values.layers import LayerRange
from swarmnode.workers.split_check import SplitCheck

find = SplitCheck._find
SplitCheck._find = lambda self, index, layers: find(self, index, LayerRange(0, 1) if index == 0 else layers)
sys.exit(main(sys.argv[1:]))
"""


@needs_stories
def test_a_stage_that_computes_wrongly_is_found_out() -> None:
    done = subprocess.run(
        [sys.executable, "-c", DAMAGED, "test-split", "--model", str(STORIES), "--json"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=110,
    )
    said = report(done)
    assert done.returncode == 1 and said["ok"] is False
    assert [row["identical"] for row in said["scenarios"]] == [False, False]


@needs_guide
def test_the_guide_model_is_the_default() -> None:
    said = check(split("--kill", "both", "--json"), 2)
    assert Path(said["model"]) == GUIDE


@needs_stories
def test_it_says_what_it_does_on_stderr_and_the_text_of_the_answer() -> None:
    done = split("--model", str(STORIES), "--max-tokens", "8", "--prompt", "Once upon a time")
    assert done.returncode == 0 and done.stdout == ""
    assert "greedy: identical" in done.stderr and "all answers are identical" in done.stderr
    assert "there was" in done.stderr


@needs_stories
@pytest.mark.parametrize(
    "arguments",
    [
        ("--model", str(STORIES), "--split", "0-2,4-4"),
        ("--model", str(STORIES), "--stages", "6"),
        ("--model", str(STORIES), "--max-tokens", "0"),
        ("--model", __file__),
        ("--model", "no such file"),
    ],
)
def test_what_cannot_be_run_is_refused_in_words(arguments: tuple[str, ...]) -> None:
    done = split(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("swarmnode: ") and "Traceback" not in done.stderr
