"""The site: one Twisted `Site` for every API and the page; every request passes the door first."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from klein import Klein
from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred, execute
from twisted.internet.interfaces import IAddress
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from swarmnode.api.admin import AdminRoutes
from swarmnode.api.admin_network import NetworkRoutes
from swarmnode.api.admin_split import SplitRoutes
from swarmnode.api.assets import Assets
from swarmnode.api.auth import PageNonces
from swarmnode.api.body import BodyReader
from swarmnode.api.channel import MAX_CONNECTIONS, ApiChannel, ApiRequest, BodyStore
from swarmnode.api.door import Door
from swarmnode.api.errors import unexpected
from swarmnode.api.metrics import MetricsRoutes
from swarmnode.api.openai import OpenAiRoutes
from swarmnode.api.pages import PageRoutes
from swarmnode.api.replies import reply_error
from swarmnode.api.routing import Router
from swarmnode.api.status import StatusRoutes
from swarmnode.api.unbuilt import what_is_missing
from swarmnode.values.errors import Refused, SwarmnodeError
from swarmnode.values.settings import ApiSettings, ServingSettings

_PATH_CHARS = re.compile(r"[^\x20-\x7e]")
MAX_PATH_SHOWN = 120
#: What nginx calls the status of a request whose client did not wait for the answer.
CLIENT_GONE = 499

OnRequest = Callable[[str, int], None]


class ApiSite(Site):
    """Builds `ApiChannel`s, up to a bound; keeps no access log (the core writes a line a request).

    connections: the bound. At it, a new connection replaces the one that has waited longest for a
    request: clients that connect and say nothing keep nobody out.
    routes: all (method, rule) pairs that it answers.
    """

    noisy = False
    protocol = ApiChannel  # type: ignore[assignment]

    def __init__(
        self, root: Resource, bodies: BodyStore, settings: ApiSettings, clock: Any, connections: int
    ) -> None:
        super().__init__(
            root,
            requestFactory=ApiRequest,
            parsePOSTFormSubmission=False,
            timeout=settings.idle_timeout_seconds or None,
            reactor=clock,
        )
        self.bodies = bodies
        self.routes: tuple[tuple[str, str], ...] = ()
        self._most = connections
        self._open: set[ApiChannel] = set()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        if len(self._open) >= self._most and not self._cut_longest_waiting():
            return None
        channel: Any = super().buildProtocol(addr)
        self._open.add(channel)
        return channel

    def connection_ended(self, channel: ApiChannel) -> None:
        """A channel of ours has lost its connection."""
        self._open.discard(channel)

    def _cut_longest_waiting(self) -> bool:
        waiting = [channel for channel in self._open if not channel.busy]
        if not waiting:
            return False
        longest = min(waiting, key=lambda channel: channel.waiting_since)
        self._open.discard(longest)
        longest.forceAbortClient()
        return True

    def startFactory(self) -> None:
        """Without Twisted's access log there is no clock tick every second for its time stamps."""

    def stopFactory(self) -> None:
        """See `startFactory`."""

    def log(self, request: Request) -> None:
        """No access log: it would keep query strings, and repeat the summary lines."""


class _Root(Resource):
    """Lets a request through the door, or answers with the reason why not."""

    isLeaf = True

    def __init__(self, door: Door, inside: Any, on_request: OnRequest | None) -> None:
        super().__init__()
        self._door = door
        self._inside = inside
        self._on_request = on_request

    def render(self, request: Any) -> Any:
        if self._on_request is not None:
            self._report(request, self._on_request)
        try:
            wait = self._door.admit(request)
        except SwarmnodeError as error:
            return _finish(request, reply_error(request, error))
        except Exception:
            return _finish(request, _bug(request, Failure()) or b"")
        if wait is not None:
            return _finish(request, reply_error(request, wait.error, wait.seconds))
        return self._inside.render(request)

    def _report(self, request: Any, on_request: OnRequest) -> None:
        request.notifyFinish().addCallbacks(
            lambda _: on_request(request.route, request.code),
            lambda _: on_request(request.route, CLIENT_GONE),
        )


def _finish(request: Any, body: bytes) -> int:
    request.write(body)
    request.finish()
    return NOT_DONE_YET


def make_site(
    core: Any,
    node: Any,
    keys: Any,
    registry: CollectorRegistry,
    settings: ApiSettings,
    clock: Any,
    page: Path,
    *,
    serving: ServingSettings | None = None,
    on_request: OnRequest | None = None,
    defer: Callable[[Callable[[], Any]], Deferred[Any]] = execute,
    connections: int = MAX_CONNECTIONS,
    network: Any = None,
    splits: Any = None,
) -> ApiSite:
    """The site with all routes.

    core: `IResponseCore`; node: `INodeStatus`; keys: `IKeyRing`; page: the folder of the web page.
    serving: for the limits and defaults of `max_tokens`. on_request(route, status): told of every
    request when it is over. defer: runs what takes long off the reactor thread, like `deferToThread`.
    connections: how many may be open at a time. network: `INetworkAdmin`. splits: `ISplitAdmin`.
    """
    app = Klein()
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    router = Router(app)
    nonces = PageNonces()
    reader = BodyReader(defer)
    OpenAiRoutes(core, clock, settings, serving or ServingSettings(), reader).add_to(router)
    StatusRoutes(core, node).add_to(router)
    MetricsRoutes(registry).add_to(router)
    AdminRoutes(node, keys, nonces, clock).add_to(router)
    NetworkRoutes(network, reader).add_to(router)
    SplitRoutes(splits, reader).add_to(router)
    PageRoutes(Assets.load(page), nonces, clock, settings.theme).add_to(router)
    _answer_errors(app)
    bodies = BodyStore(settings.max_body_bytes, lambda key: key is not None and keys.allows(key))
    root = _Root(Door(keys, node.readiness, settings, clock), app.resource(), on_request)
    site = ApiSite(root, bodies, settings, clock, connections)
    site.routes = tuple(router.rules)
    return site


def _answer_errors(app: Klein) -> None:
    app.handle_errors(SwarmnodeError)(lambda request, failure: reply_error(request, failure.value))
    app.handle_errors(HTTPException)(_no_route)
    app.handle_errors(Exception)(_bug)


def _no_route(request: Any, failure: Failure) -> bytes:
    path = _PATH_CHARS.sub("?", request.path.decode("latin-1"))[:MAX_PATH_SHOWN]
    if isinstance(failure.value, MethodNotAllowed):
        allowed = ", ".join(sorted(failure.value.valid_methods or ()))
        request.setHeader(b"Allow", allowed.encode("ascii"))
        method = _PATH_CHARS.sub("?", request.method.decode("latin-1"))[:16]
        error = Refused(f"{path} takes {allowed}, not {method}", code="method_not_allowed")
        return reply_error(request, error)
    return reply_error(
        request, what_is_missing(path) or Refused(f"There is no {path} here", code="not_found")
    )


def _bug(request: Any, failure: Failure) -> bytes | None:
    log = structlog.get_logger("api")
    log.error(
        "bug in a route", request=request.request_id, route=request.route, traceback=failure.getTraceback()
    )
    if request.startedWriting:
        request.transport.abortConnection()
        return None
    return reply_error(request, unexpected(request.request_id))
