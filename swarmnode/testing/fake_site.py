"""`python -m swarmnode.testing.fake_site [PORT]`: the HTTP site over a fake core, for tests of clients.

Prints one line of JSON with the port and the key, then serves until it is ended or its standard input is.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from prometheus_client import CollectorRegistry

from swarmnode.api.assets import page_directory
from swarmnode.api.site import make_site
from swarmnode.testing.fake_core import FAKE_KEY, FakeCore, FakeKeys, FakeNode
from swarmnode.values.settings import ApiSettings


def main(port: int = 0) -> None:
    """Serve on a loopback port; 0 for any."""
    from twisted.internet import reactor as installed
    from twisted.internet import stdio
    from twisted.internet.protocol import Protocol

    reactor: Any = installed

    class Leash(Protocol):
        def connectionLost(self, reason: Any = None) -> None:
            if reactor.running:
                reactor.stop()

    page = page_directory()
    site = make_site(FakeCore(), FakeNode(), FakeKeys(), CollectorRegistry(), ApiSettings(), reactor, page)
    listening = reactor.listenTCP(port, site, interface="127.0.0.1")
    stdio.StandardIO(Leash())
    print(json.dumps({"port": listening.getHost().port, "api_key": FAKE_KEY}), flush=True)
    reactor.run()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
