"""Welcoming the user when the node is ready: where the page is, which model answers, and the browser."""

from __future__ import annotations

import threading
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swarmnode.values.cards import ModelCard
from swarmnode.values.errors import Refused
from swarmnode.values.settings import NodeSettings


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a user wants to know when the node is ready. model: what answers by default, if anything."""

    page: str
    data_dir: Path
    model: ModelCard | None


Greet = Callable[[Greeting], None]


def welcome(core: Any, pool: Any, settings: NodeSettings, page: str, log: Any, greet: Greet) -> None:
    """Log and greet, warm up the model that answers by default where that is the small one of the package
    or the one that the user named, and open the page.

    core: `IResponseCore`. pool: `IWorkerPool`. page: its URL. log: a structlog-like logger.
    """
    default = _default_model(core, log)
    models = sum(not card.problem for card in core.cards())
    log.info("ready", page=page, models=models, default=default.label if default else "none")
    greet(Greeting(page, settings.data_dir, default))
    if default and (default.owned_by == "builtin" or default.path == str(settings.model_path)):
        pool.preload(default)
    if settings.open_browser:
        # Some browsers keep the call until they are closed; the end of the node waits for Twisted's threads.
        threading.Thread(target=_browse, args=(page, log), name="browser", daemon=True).start()


def _default_model(core: Any, log: Any) -> ModelCard | None:
    try:
        card: ModelCard = core.find("auto")
    except Refused as error:
        log.warning("no model answers by default", reason=error.message)
        return None
    return card


def _browse(page: str, log: Any) -> None:
    try:
        webbrowser.open(page)
    except Exception as error:
        log.debug("no browser", reason=str(error))
