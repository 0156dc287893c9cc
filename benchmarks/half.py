"""One half of a pair, in a process of its own: `python -m benchmarks.half`, a job as JSON on standard
input, its samples as JSON in the last line of standard output.

A job: {"function": "package.module:name", "arguments": [...], "options": {...}, "repeats": n}. The function
is called `repeats` times as `swarmnode.inference.offline_bench.run` is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.bandwidth import measure

#: Seconds that a half may take before it is given up.
MAX_SECONDS = 1800.0
ROOT = Path(__file__).resolve().parent.parent


def run_half(
    function: str,
    arguments: list[Any],
    options: dict[str, Any],
    repeats: int,
    environment: dict[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Call the function in a new process; what it returned, call by call. Raises `RuntimeError` with the
    end of its standard error when it fails."""
    job = {"function": function, "arguments": arguments, "options": options, "repeats": repeats}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.half"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=MAX_SECONDS,
        env={**os.environ, **(environment or {})},
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{function} failed ({done.returncode}):\n{done.stderr[-4000:]}")
    answer: list[dict[str, Any]] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def several(
    function: str, calls: list[list[Any]], options: dict[str, Any], repeats: int, probe: int
) -> dict[str, Any]:
    """turns: what the function returns for each of some calls, all of them again and again; probe: bytes of
    memory that `probe` threads of this process read a second before."""
    seen = measure(probe)
    called = find(function)
    turns = [[called(*arguments, **options) for arguments in calls] for _ in range(repeats)]
    return {"turns": turns, "probe": seen}


def find(path: str) -> Any:
    """The function at `package.module:name`."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def main() -> None:
    """Do the job on standard input."""
    job = json.load(sys.stdin)
    function = find(job["function"])
    answers = [function(*job["arguments"], **job["options"]) for _ in range(job["repeats"])]
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
