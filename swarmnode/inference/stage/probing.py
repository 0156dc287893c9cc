"""One row through a stage that was just loaded: weights that are no numbers are found before anybody asks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from swarmnode.inference.stage.seam import Batch, Slice, Stage
from swarmnode.models.gguf import BadModelFile
from swarmnode.values.errors import LocalFault

_SESSION = -1


def check_numbers(stage: Stage, path: Path) -> None:
    """Compute one row and forget it. Every matrix takes part (of experts those that are chosen), so a weight
    that is NaN or infinite shows. Raises `BadModelFile` that names the file and the layers."""
    tokens = np.zeros(1, np.int32) if stage.embeds else None
    hidden = None if stage.embeds else np.ones((1, stage.facts.hidden), np.float32)
    stage.open(_SESSION, 1)
    try:
        stage.step(Batch((Slice(_SESSION, 0, 1),), tokens, hidden))
    except LocalFault as error:
        if error.code != "not_finite":
            raise
        raise _no_numbers(stage, path, error) from error
    finally:
        stage.close(_SESSION)


def _no_numbers(stage: Stage, path: Path, error: LocalFault) -> BadModelFile:
    fault = f"its weights give results that are no numbers ({error.message})"
    if stage.profile.kv == "f32":
        return BadModelFile(path, fault)
    hint = 'Compare its checksum and download it again; if it is sound, try `inference.kv_type = "f32"`.'
    return BadModelFile(path, fault, hint)
