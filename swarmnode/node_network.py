"""The network of a real node: the transports and searches that are installed, the operating system's clock
and chance, the database."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import structlog

from swarmnode.interfaces.host import Host
from swarmnode.network.dns_lookup import SystemLookup
from swarmnode.network.resolving import Resolver
from swarmnode.network_stack import (
    NetworkStack,
    NetworkStores,
    Searches,
    Surroundings,
    build_network,
    release,
)
from swarmnode.plugins import Discovery, load
from swarmnode.policy.numerics import computable
from swarmnode.services.exchange_peers import Found
from swarmnode.storage.database import Database
from swarmnode.storage.peer_records import (
    add_invite,
    load_known_peers,
    load_trust,
    save_known_peers,
    save_trust,
    use_invite,
)
from swarmnode.values.errors import Refused
from swarmnode.values.network import NetworkSettings

#: Discovery methods that `network_stack` joins itself: they share parts with the rest.
JOINED = frozenset(("bootstrap", "cache", "peer-exchange", "dht"))


def make_network(
    identity: Any,
    settings: NetworkSettings,
    plugins: Discovery,
    database: Database,
    reactor: Any,
    backend: str = "",
) -> NetworkStack:
    """Build it; a taken port is refused here. backend: the inference back end that runs models here, if any.
    Raises `Refused` or `LocalFault`."""
    world = Surroundings(
        clock=reactor,
        stamp=time.time,
        # Peers must not foresee whom this node chooses.
        rng=random.SystemRandom(),
        entropy=os.urandom,
        log=structlog.get_logger("network"),
        stores=_stores(database),
        resolve=Resolver(SystemLookup(reactor), reactor),
        searches=_searches(settings, plugins, reactor),
        profiles=lambda: computable(backend),
    )
    carriers = _carriers(identity, settings, plugins, reactor)
    try:
        return build_network(identity, carriers, settings, world)
    except BaseException:
        release(carriers)
        raise


def _carriers(identity: Any, settings: NetworkSettings, plugins: Discovery, reactor: Any) -> Sequence[Any]:
    usable = [entry for entry in plugins.of_kind("transport") if entry.available]
    if not usable:
        raise Refused(
            "There is no transport to reach other nodes with",
            code="no_transport",
            hint="`swarmnode plugins` lists them, and what those that cannot be used lack.",
        )
    made: list[Any] = []
    try:
        for entry in usable:
            made.append(load(entry)(identity, reactor, os.urandom, settings))
    except BaseException:
        release(made)
        raise
    return made


def _stores(database: Database) -> NetworkStores:
    return NetworkStores(
        load_trust=partial(database.run, load_trust),
        save_trust=lambda changed, gone: database.run(lambda session: save_trust(session, changed, gone)),
        load_known=partial(database.run, load_known_peers),
        save_known=lambda peers: database.run(lambda session: save_known_peers(session, peers)),
        add_invite=lambda *invite: database.run(lambda session: add_invite(session, *invite)),
        use_invite=lambda *token: database.run(lambda session: use_invite(session, *token)),
    )


def _searches(settings: NetworkSettings, plugins: Discovery, reactor: Any) -> Searches:
    log = structlog.get_logger("discovery")

    def made(host: Host, found: Found) -> list[Any]:
        searches = []
        for entry in plugins.of_kind("discovery"):
            if entry.name in JOINED or (entry.name == "mdns" and not settings.enable_mdns):
                continue
            if not entry.available:
                log.warning("discovery method not available", method=entry.name, reason=entry.reason)
                continue
            try:
                searches.append(load(entry)(host, found, settings, reactor))
            except Exception as error:
                log.warning("discovery method skipped", method=entry.name, reason=str(error))
        return searches

    return made
