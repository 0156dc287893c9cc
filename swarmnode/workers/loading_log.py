"""How far a model is loaded, in the log: a line for every quarter, of models that take their time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

log = structlog.get_logger("workers")

#: Parts of the whole between two lines.
STEP = 0.25


class LoadingLog:
    """Takes what a worker says of itself about once a second."""

    def __init__(self, label: str) -> None:
        self._label, self._next = label, 0.0

    def __call__(self, values: Mapping[str, Any]) -> None:
        part = values.get("loading")
        if isinstance(part, int | float) and part >= self._next:
            log.info("model loading", model=self._label, percent=round(100 * part))
            self._next = part + STEP
