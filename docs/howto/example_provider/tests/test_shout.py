"""The provider keeps the contract, and does what it says."""

from __future__ import annotations

from typing import Any

from swarmnode_shout.provider import ShoutProvider
from twisted.internet.task import Clock

from swarmnode.plugins import discover, load
from swarmnode.testing.provider_contract import ProviderContract
from swarmnode.values.generation import ChoiceFinished
from swarmnode.values.loading import ProviderSettings


class TestShout(ProviderContract):
    """All tests of the contract, and one of our own."""

    def setup_method(self) -> None:
        self.clock = Clock()

    def make_provider(self) -> Any:
        return ShoutProvider(ProviderSettings("shout", options={"mark": "?"}), self.clock)

    def turn(self) -> None:
        self.clock.advance(0.01)

    def test_it_shouts(self) -> None:
        provider = self.make_provider()
        sink = self.run(provider, self.request(provider, "hello world"))
        assert sink.text == "HELLO? WORLD?"
        assert ChoiceFinished(0, "stop") in sink.events


def test_the_node_finds_it() -> None:
    entry = discover().find("provider", "shout")
    assert entry.origin == "swarmnode-shout 1.0"
    assert load(entry)(ProviderSettings("shout")).cards()[0].label == "shout-1"
