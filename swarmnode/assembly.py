"""The composition root: the one place that knows every part of a node and joins them.

Read `build` from top to bottom to see the architecture: storage, models, workers, the response core, the
APIs, and the supervisor that starts and stops them in order.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import structlog
from twisted.application.service import MultiService
from twisted.internet.defer import maybeDeferred, succeed
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThread

from swarmnode import __version__
from swarmnode.api.assets import page_directory
from swarmnode.api.channel import MAX_CONNECTIONS
from swarmnode.api.site import make_site
from swarmnode.config import Config, ProviderKeys, later_warnings, node_settings
from swarmnode.models.facts import read_facts
from swarmnode.models.gguf import GgufFile
from swarmnode.network.descriptors import connections_within, raise_limit
from swarmnode.network.listening import ReservedPort
from swarmnode.network.signals import heed_no_more, heed_once
from swarmnode.node_network import make_network
from swarmnode.node_stages import make_stages
from swarmnode.observability.logs import diag, flush_logs, hide, set_up_logs
from swarmnode.observability.machine import MachineFacts, machine_facts
from swarmnode.observability.metrics import Metrics
from swarmnode.observability.model_metrics import ModelMetrics
from swarmnode.observability.network_metrics import NetworkMetrics
from swarmnode.observability.request_log import RequestLog
from swarmnode.plugins import Discovery, discover, load
from swarmnode.services.keep_catalog import ModelCatalog
from swarmnode.services.keep_history import RequestHistory
from swarmnode.services.report_status import NodeStatus, RequestTally
from swarmnode.services.run_local import LocalModels
from swarmnode.services.serve_chat import ResponseCore
from swarmnode.services.supervise import Part, Supervisor
from swarmnode.services.welcome import Greet, Greeting, welcome
from swarmnode.storage.api_key import load_or_create_api_key
from swarmnode.storage.data_dir import hold_data_dir
from swarmnode.storage.database import Database
from swarmnode.storage.engines import check_database_url
from swarmnode.storage.identity import load_or_create_identity
from swarmnode.storage.private_files import make_private_directory
from swarmnode.storage.records import add_request
from swarmnode.storage.runner import OneThread
from swarmnode.values.cards import ModelCard, ModelFacts
from swarmnode.values.errors import LocalFault, Refused, SwarmnodeError
from swarmnode.values.loading import ProviderSettings
from swarmnode.values.settings import NodeSettings
from swarmnode.workers.pool import WorkerPool

#: In the data directory; users put model files there.
MODELS_FOLDER = "models"
RESCAN_SECONDS = 15.0
#: How long a thread that computes keeps the others waiting (5 ms in Python, each time).
SWITCH_SECONDS = 0.001
GREET_SECONDS = 0.1
#: What scripted models do (`inference.scripted_models`); any other name echoes.
SCRIPTS: dict[str, dict[str, Any]] = {
    "steady": {"echo": True, "tokens_per_second": 20},
    "slow": {"echo": True, "tokens_per_second": 5},
    "late": {"echo": True, "load_seconds": 10},
}
LISTEN_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - compared with, not bound


class Node(MultiService):
    """The node as one Twisted service. `exit_code` is what the process should end with; `fault` says why,
    when it is not 0."""

    exit_code = 0
    fault: SwarmnodeError | None = None

    def __init__(self, settings: NodeSettings) -> None:
        super().__init__()
        self.settings = settings


def make_service(config: Config, *, log_stream: Any = None, greet: Greet = lambda greeting: None) -> Node:
    """Build the node. What cannot work is refused here, before anything runs in the background:
    a setting, a taken data directory, a taken port. Raises `SwarmnodeError`.

    log_stream: where the log goes instead of standard error, when `twistd` keeps the log. greet: called
    when the node is ready.
    """
    settings = node_settings(config)
    secrets = [secret for secret in (settings.api_key, settings.identity_passphrase) if secret]
    ours = log_stream is None
    set_up_logs(settings.logs, secrets=secrets, stream=log_stream, twisted=ours, queued=ours)
    log = structlog.get_logger("node")
    for note in (*settings.notes, *later_warnings(config)):
        log.warning(note)
    with ExitStack() as undo:
        lock = hold_data_dir(settings.data_dir, settings.api.port)
        undo.callback(lock.release)
        port = ReservedPort(settings.api.listen_address, settings.api.port)
        undo.callback(port.close)
        node = build(settings, config.provider_keys, port, lock, log, greet, undo)
        undo.pop_all()
        return node


def build(
    settings: NodeSettings,
    provider_keys: ProviderKeys,
    port: ReservedPort,
    lock: Any,
    log: Any,
    greet: Greet,
    undo: ExitStack,
) -> Node:
    """Join the parts. undo: what to do when that fails half-way."""
    reactor = _reactor()
    node = Node(settings)
    stop = partial(_stop, node, reactor, log)
    machine = machine_facts()
    metrics = Metrics(__version__)

    identity = load_or_create_identity(settings.data_dir, settings.identity_passphrase)
    keys = load_or_create_api_key(settings.data_dir, settings.api_key)
    hide(keys.api_key())
    make_private_directory(settings.data_dir / MODELS_FOLDER)
    check_database_url(settings.database_url)
    database = Database(settings.database_url, settings.data_dir, OneThread())

    plugins = discover()
    for problem in plugins.problems:
        log.warning("plug-in skipped", origin=problem.origin, reason=problem.error)
    network = make_network(identity, settings.network, plugins, database, reactor, settings.workers.backend)
    undo.callback(network.release)
    backends = _backends(plugins, settings.workers.backend)
    catalog = _catalog(settings, plugins)
    pool = WorkerPool(
        reactor,
        settings.workers,
        backends,
        machine=machine_facts,
        options=lambda card: SCRIPTS.get(card.label, {"echo": True}) if card.backend == "scripted" else {},
        noticed=metrics.worker_noticed,
    )
    metrics.registry.register(ModelMetrics(pool.loaded))
    NetworkMetrics(network, metrics.registry)
    metrics.peers_read(lambda: len(network.host.peers()))

    tally = RequestTally()
    history = [RequestHistory(database.run, add_request, time.time, log)]
    core = ResponseCore(
        [LocalModels(catalog, pool), *_providers(plugins, provider_keys, log)],
        settings.serving,
        time.monotonic,
        # In privacy mode nothing of a request is written to the disk, not even its figures.
        [tally, metrics, RequestLog(), *(() if settings.serving.privacy_mode else history)],
        diag,
        reactor.callLater,
    )
    stages = make_stages(network, settings.network.network_id, catalog, core, pool, reactor)
    address = f"http://{LISTEN_ANYWHERE.get(port.address, port.address)}:{port.port}"

    def greeting(facts: Greeting) -> None:
        flush_logs(GREET_SECONDS)  # it goes to the same terminal as the log, by another way
        greet(facts)

    supervisor: Supervisor
    status = NodeStatus(
        version=__version__,
        peer_id=identity.peer_id,
        readiness=lambda: supervisor.readiness(),
        core=core,
        pool=pool,
        tally=tally,
        hardware=lambda: _hardware(machine_facts()),
        api_address=address,
        host=network.host,
        now=time.monotonic,
        shut_down=lambda reason: stop(0, f"asked to stop: {reason}"),
    )
    site = make_site(
        core,
        status,
        keys,
        metrics.registry,
        settings.api,
        reactor,
        page_directory(),
        serving=settings.serving,
        on_request=metrics.http_request,
        defer=deferToThread,
        connections=connections_within(raise_limit(), MAX_CONNECTIONS),
        network=network.admin,
        splits=stages.compare,
    )

    rescans = LoopingCall(_logged(catalog.rescan, log, "looking for models"))
    rescans.clock = reactor
    supervisor = Supervisor(
        [
            Part("data_directory", lambda: None, lock.release),
            # From here on health and the page answer; the APIs do when all parts run.
            Part("http_port", lambda: port.serve(reactor, site), ended=lambda: port.ended),
            Part("database", database.open, database.close),
            Part("network", network.start, network.stop, ended=lambda: network.host.ended),
            Part("model_catalog", catalog.rescan),
            Part("worker_pool", lambda: None, pool.stop),
            Part("inference_router", lambda: None, core.close),
            Part("stages", stages.offer.start, stages.offer.stop, critical=False),
            Part("api_server", lambda: None, port.close),
            Part(
                "model_rescans",
                lambda: _begin(rescans),
                lambda: _end(rescans),
                critical=False,
                ended=lambda: rescans.deferred or succeed(rescans),
            ),
            Part("welcome", lambda: welcome(core, pool, settings, address, log, greeting), critical=False),
        ],
        lambda name, reason: stop(1, f"{name}: {reason}"),
        log,
        reactor,
    )
    supervisor.setServiceParent(node)
    reactor.callWhenRunning(heed_once, lambda: _stops(reactor))
    _keep_responsive()
    log.info(
        "node",
        version=__version__,
        peer_id=identity.peer_id,
        data_dir=str(settings.data_dir),
        cores=machine.cores,
    )
    return node


def run_node(config: Config, greet: Greet = lambda greeting: None) -> int:
    """Run a node in this process until it is stopped; its exit code. greet: called when it is ready.

    Raises `SwarmnodeError` for what cannot start, and for the end of a critical part.
    """
    reactor = _reactor()
    try:
        node = make_service(config, greet=greet)
        node.privilegedStartService()
        node.startService()
        reactor.addSystemEventTrigger("before", "shutdown", node.stopService)
        reactor.run()
        heed_no_more()
    finally:
        flush_logs()
    if node.fault is not None:
        raise node.fault
    return node.exit_code


def _reactor() -> Any:
    """The process's reactor, on the monotonic clock: a wall clock that jumps must move no timer."""
    # Imported late: importing it chooses it, and `twistd --reactor` wants to choose another.
    from twisted.internet import reactor

    reactor.seconds = time.monotonic  # type: ignore[method-assign,misc]
    return reactor


def _keep_responsive() -> None:
    """Let neither threads nor the garbage collector hold up the reactor."""
    sys.setswitchinterval(SWITCH_SECONDS)
    # What is there now stays: a full collection need not look at it again, and takes 1 ms, not 50.
    gc.collect()
    gc.freeze()


def _stop(node: Node, reactor: Any, log: Any, code: int, reason: str) -> None:
    log.info("the node stops", reason=reason)
    node.exit_code = code
    if code:
        node.fault = LocalFault(f"The node stopped: {reason}", code="part_ended", hint="The log says more.")
    if reactor.running:
        reactor.callLater(0, _stop_once, reactor)
    else:
        reactor.callWhenRunning(_stop_once, reactor)


def _stop_once(reactor: Any) -> None:
    if reactor.running and not _stops(reactor):
        reactor.stop()


def _stops(reactor: Any) -> bool:
    return bool(getattr(reactor, "_stopped", False))


def _catalog(settings: NodeSettings, plugins: Discovery) -> ModelCatalog:
    folders = (settings.data_dir / MODELS_FOLDER,)
    shelves = [load(entry)(folders) for entry in plugins.of_kind("model_source") if entry.available]
    scripted = (
        ModelCard(label, "scripted", owned_by="scripted") for label in settings.workers.scripted_models
    )
    return ModelCatalog(
        first=[settings.model_path] if settings.model_path else [],
        shelves=shelves,
        guide=_guide(),
        fixed=tuple(scripted),
        facts=_facts,
        defer=deferToThread,
        backend=settings.workers.backend,
        log=structlog.get_logger("models"),
    )


def _providers(plugins: Discovery, keys: ProviderKeys, log: Any) -> list[Any]:
    """Every installed provider; one that cannot be made is reported and left out."""
    made = []
    for entry in plugins.of_kind("provider"):
        if not entry.available:
            log.warning("provider not available", provider=entry.name, reason=entry.reason)
            continue
        found = keys.find(*entry.description.key_variables)
        if found:
            hide(found.value)
        try:
            made.append(load(entry)(ProviderSettings(entry.name, found.value if found else "")))
        except Exception as error:
            log.warning("provider skipped", provider=entry.name, origin=entry.origin, reason=str(error))
    return made


def _backends(plugins: Discovery, wanted: str) -> dict[str, str]:
    """Inference back ends by name: the dotted path that a worker imports. Raises `Refused` when the one
    that is to run model files is not among them."""
    usable = {entry.name: entry.factory for entry in plugins.of_kind("inference_backend") if entry.available}
    if wanted not in usable:
        raise Refused(
            f"The inference back end {wanted!r} (inference.backend) is not there; there are: "
            + ", ".join(sorted(usable)),
            code="backend_missing",
            hint="`swarmnode plugins` lists the back ends, and what those that cannot be used lack.",
        )
    return usable


def _facts(path: Path) -> ModelFacts:
    with GgufFile(path) as gguf:
        return read_facts(gguf)


def _guide() -> Path | None:
    path = resources.files("swarmnode") / "inference" / "guide" / "guide.gguf"
    return path if isinstance(path, Path) and path.is_file() else None


def _hardware(machine: MachineFacts) -> dict[str, Any]:
    facts = {
        "processor": machine.processor,
        "system": machine.system,
        "cpu_cores": machine.cores,
        "ram_total_mb": _megabytes(machine.ram_total),
        "ram_available_mb": _megabytes(machine.ram_available),
        "memory_limit_mb": _megabytes(machine.cgroup_limit),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _megabytes(size: int | None) -> int | None:
    return None if size is None else size >> 20


def _logged(work: Callable[[], Any], log: Any, what: str) -> Callable[[], Any]:
    """The work, with its failures logged instead of ending the loop that repeats it."""
    return lambda: maybeDeferred(work).addErrback(
        lambda why: log.warning(f"{what} failed", reason=why.getErrorMessage())
    )


def _begin(loop: LoopingCall) -> None:
    loop.start(RESCAN_SECONDS, now=False)


def _end(loop: LoopingCall) -> None:
    if loop.running:
        loop.stop()
