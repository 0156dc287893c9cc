"""Adding routes to klein, so that each request knows which one answers it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from klein import Klein

Handler = Callable[..., Any]


class Router:
    """Adds handlers under rules; `rules` lists them all as (methods, rule)."""

    def __init__(self, app: Klein) -> None:
        self._app = app
        self.rules: list[tuple[str, str]] = []

    def add(self, method: str, rule: str, handler: Handler) -> None:
        """`handler(request, **parts of the rule)` returns the body as bytes, or a Deferred of it (of None
        when it has written everything itself); it may raise `SwarmnodeError`. GET answers HEAD too."""

        def routed(request: Any, **parts: Any) -> Any:
            request.route = rule
            return handler(request, **parts)

        self.rules.append((method, rule))
        self._app.route(rule, methods=[method], endpoint=f"{method} {rule}")(routed)
