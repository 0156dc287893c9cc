"""The door: what every request is asked before a route sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from swarmnode.api.auth import Area, area_of, bad_key, presented_key
from swarmnode.api.callers import Caller, caller_of
from swarmnode.api.replies import set_common_headers
from swarmnode.policy.rate_limit import TokenBuckets
from swarmnode.values.errors import Refused, SwarmnodeError, Unavailable
from swarmnode.values.settings import ApiSettings

#: Where a stranger's page could read, without the key, what is meant for this machine only.
_KEYLESS_HERE = (Area.PAGE, Area.METRICS, Area.PAGE_KEY, Area.ADMIN)
_NO_OTHER_SITES = (Area.PAGE, Area.PAGE_KEY, Area.ADMIN)


@dataclass(frozen=True, slots=True)
class Wait:
    """A request over its rate limit: the error, and seconds until the next one may come."""

    error: SwarmnodeError
    seconds: float


class Door:
    """Checks, in this order: the path's form, Host and Origin, the rate, the key, the node's readiness.

    keys: `IKeyRing`. readiness: as of `INodeStatus`; what does not run yet, or no more, keeps the APIs shut.
    """

    def __init__(
        self, keys: Any, readiness: Callable[[], Mapping[str, bool]], settings: ApiSettings, clock: Any
    ) -> None:
        self._keys = keys
        self._readiness = readiness
        self._settings = settings
        self._clock = clock
        self._api = TokenBuckets(settings.rate_limit_rpm)
        self._admin = TokenBuckets(settings.rate_limit_admin_rpm)

    def admit(self, request: Any) -> Wait | None:
        """None: come in. Raises the `SwarmnodeError` that says why not."""
        set_common_headers(request, request.request_id)
        area = area_of(_path_of(request))
        caller = caller_of(request)
        request.caller = caller
        _check_names(area, caller)
        key = presented_key(request.requestHeaders)
        known = key is not None and self._keys.allows(key)
        wait = self._check_rate(area, caller, known)
        if wait is None and not known and self._needs_key(area, caller):
            raise bad_key(key)
        if wait is None and area in (Area.ADMIN, Area.API):
            _require_ready(self._readiness())
        return wait

    def _needs_key(self, area: Area, caller: Caller) -> bool:
        if area is Area.METRICS:
            asked = self._settings.metrics_auth_required
            return asked if asked is not None else not caller.local
        return area in (Area.ADMIN, Area.API)

    def _check_rate(self, area: Area, caller: Caller, known: bool) -> Wait | None:
        if area in (Area.PAGE, Area.HEALTH) or (caller.local and not self._settings.rate_limit_loopback):
            return None
        buckets = self._api if area is Area.API else self._admin
        # Who has the key is counted apart, so that a stranger behind the same address cannot use it up.
        seconds = buckets.take(f"{caller.address} {'key' if known else 'no key'}", self._clock.seconds())
        if not seconds:
            return None
        return Wait(
            Unavailable(
                f"More than the allowed requests a minute came from {caller.address}",
                code="rate_limit_exceeded",
                hint=f"Wait {seconds:.0f} s, or raise api.rate_limit_rpm or api.rate_limit_admin_rpm.",
            ),
            seconds,
        )


def _require_ready(parts: Mapping[str, bool]) -> None:
    missing = [name for name, up in parts.items() if not up]
    if missing:
        raise Unavailable(
            f"The node is starting or stopping: {', '.join(missing)} not ready",
            code="not_ready",
            hint="Try again in a moment; GET /health/ready tells when the node is ready.",
        )


def _path_of(request: Any) -> str:
    """The path with %-escapes resolved, as the router reads it."""
    try:
        return "/" + b"/".join(request.postpath).decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("The path is not UTF-8", code="bad_path") from None


def _check_names(area: Area, caller: Caller) -> None:
    if area in _KEYLESS_HERE and caller.local and not caller.by_name_of_ours:
        raise Refused(
            "The Host header names another machine than this one",
            code="foreign_host",
            hint="Open the page under http://localhost or http://127.0.0.1 and the node's port.",
        )
    if area in _NO_OTHER_SITES and not caller.same_origin:
        raise Refused(
            "The request comes from a page of another site",
            code="foreign_origin",
            hint="Open the node's own page instead.",
        )
