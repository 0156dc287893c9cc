"""The plug-ins that come with the software."""

from __future__ import annotations

from swarmnode.plugins.describe import DiscoveryMethod, InferenceBackend, ModelSource, Scheduler, Transport

#: llvmlite is not among what this requires: without it the worker says so and computes as `numpy` does.
cpu_backend = InferenceBackend(
    name="cpu",
    summary="GGUF models on the processor, with kernels compiled for it",
    factory="swarmnode.inference.serving:make_engine",
    requires=("numpy", "tokenizers", "jinja2"),
)

numpy_backend = InferenceBackend(
    name="numpy",
    summary="GGUF models on the processor with numpy: the reference",
    factory="swarmnode.inference.serving:make_engine",
    requires=("numpy", "tokenizers", "jinja2"),
)

scripted_backend = InferenceBackend(
    name="scripted",
    summary="Answers by a script, without a model; for tests",
    factory="swarmnode.inference.scripted:make_engine",
    needs_file=False,
)

solo_scheduler = Scheduler(
    name="solo",
    summary="Runs every layer on this node",
    factory="swarmnode.services.plan_solo:SoloPlanner",
)

folder_source = ModelSource(
    name="folder",
    summary="GGUF files in local folders",
    factory="swarmnode.sources.folder:FolderShelf",
)

mdns_discovery = DiscoveryMethod(
    name="mdns",
    summary="Finds nodes on the local network by multicast DNS",
    factory="swarmnode.network.find_by_mdns:FindByMdns",
)

# The following have parts in common with the rest of the node, such as the peer book, and so are put
# together where the node is.
bootstrap_discovery = DiscoveryMethod(
    name="bootstrap",
    summary="Connects to the addresses in network.bootstrap_peers, and again when they are lost",
    factory="swarmnode.services.find_peers:FindPeers",
)

cache_discovery = DiscoveryMethod(
    name="cache",
    summary="Connects to peers of earlier runs",
    factory="swarmnode.services.keep_known_peers:KeepKnownPeers",
)

exchange_discovery = DiscoveryMethod(
    name="peer-exchange",
    summary="Asks connected peers for others",
    factory="swarmnode.services.exchange_peers:ExchangePeers",
)

dht_discovery = DiscoveryMethod(
    name="dht",
    summary="Looks peers up in the distributed hash table",
    factory="swarmnode.services.keep_dht:Dht",
)

tcp_transport = Transport(
    name="tcp",
    summary="TCP, secured by Noise and divided into streams by yamux",
    factory="swarmnode.network.tcp:tcp_carrier",
    protocols=("ip4", "tcp"),
)
