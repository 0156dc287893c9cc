"""The raw file of a run: JSON lines, written as they come, the first one about the machine."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from swarmnode.observability.machine import machine_facts

ROOT = Path(__file__).resolve().parent.parent


class RawFile:
    """A new file (one a run: raises `FileExistsError` for one that is there); `samples` keeps them too."""

    def __init__(self, path: Path, **about: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("x", encoding="utf-8")
        self.samples: list[dict[str, Any]] = []
        self.add("about", machine=asdict(machine_facts()), commit=commit(), **about)

    def add(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Write one line now; returns it."""
        sample = {"kind": kind, "at": round(time.time(), 1), **fields}
        self._file.write(json.dumps(sample) + "\n")
        self._file.flush()
        self.samples.append(sample)
        return sample


def commit() -> str:
    """The commit that is measured, with a mark when files differ from it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],  # noqa: S607
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    return done.stdout.strip() or "unknown"
