"""A wall clock that jumps by hours moves no timer of the node."""

from __future__ import annotations

import http.client
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from swarmnode.testing.node_process import NodeProcess

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")

#: A node whose wall clock is off by the number in a file, from the first import on.
SCRIPT = """
import pathlib, sys, time
real, shift = time.time, pathlib.Path({shift!r})
time.time = lambda: real() + float(shift.read_text())
from swarmnode import assembly
assembly.RESCAN_SECONDS = 0.2
from swarmnode.cli.main import main
sys.exit(main(["run", *sys.argv[1:]]))
"""
HOUR = 3600.0
GUIDE = Path(__file__).parents[2] / "swarmnode/inference/guide/guide.gguf"


def set_clock(shift: Path, hours: float) -> None:
    """Exchange the file at once: the node reads it at any moment."""
    new = shift.with_suffix(".new")
    new.write_text(str(hours * HOUR))
    new.replace(shift)


def ask(node: NodeProcess, words: str, on_chunk: Callable[[int], None]) -> str:
    """The streamed echo of the words. on_chunk: called with the number of each chunk."""
    body = {"model": "steady", "messages": [{"role": "user", "content": words}], "stream": True}
    said = ""
    for number, chunk in enumerate(node.stream("/v1/chat/completions", body)):
        on_chunk(number)
        said += chunk["choices"][0]["delta"].get("content", "")
    return said


def loaded(node: NodeProcess) -> list[str]:
    return [model["id"] for model in node.request("GET", "/v1/status")[1]["loaded_models"]]


def known(node: NodeProcess) -> list[str]:
    return [card["id"] for card in node.request("GET", "/v1/models")[1]["data"]]


def test_timers_neither_run_ahead_nor_stand_still(tmp_path: Path) -> None:
    shift = tmp_path / "shift"
    set_clock(shift, 0)
    command = [sys.executable, "-c", SCRIPT.format(shift=str(shift))]
    scripted = ("--set", 'inference.scripted_models=["steady"]')
    jumps = {3: 1.0, 9: -1.0, 15: 2.0}
    words = " ".join(f"word{number}" for number in range(20))
    with NodeProcess(tmp_path, *scripted, command=command) as node:
        idle = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)
        idle.request("GET", "/health")
        idle.getresponse().read()
        said = ask(node, words, lambda number: set_clock(shift, jumps[number]) if number in jumps else None)
        assert said == words
        set_clock(shift, 3)
        # Idle connections and idle models have five minutes, which have not passed.
        assert "steady" in loaded(node)
        assert "steady" in loaded(node)
        idle.request("GET", "/health")
        assert idle.getresponse().status == 200
        # What is done every 0.2 s goes on, and not only when the clock has caught up.
        set_clock(shift, -3)
        shutil.copyfile(GUIDE, node.data_dir / "models" / "newcomer.gguf")
        node.wait_until(lambda: "newcomer" in known(node), 20, "the folder is not looked at any more")
