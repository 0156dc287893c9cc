"""Every bound of the connection pool in one place."""

from __future__ import annotations

from dataclasses import dataclass

#: Attempts in flight at once, over all peers.
MAX_ATTEMPTS = 16
#: Targets that wait for their first attempt; one more is refused.
MAX_WAITING = 256
#: Requests without an answer.
MAX_REQUESTS = 1024
#: Attempts in flight for one target, and addresses tried for it.
MAX_PARALLEL = 8
MAX_TRIED = 32
#: RFC 8305, 8: Connection Attempt Delay, recommended 250 ms.
STAGGER_SECONDS = 0.25

#: Back-off of an address or a peer after failures.
FIRST_BACKOFF_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 600.0
#: A connection that the peer ends sooner counts as a failure: full nodes would be dialled again and again.
SHORT_SECONDS = 10.0
#: After a peer broke the rules.
FAULT_BACKOFF_SECONDS = 30.0
#: Addresses and peers whose failures are remembered.
MAX_BACKOFFS = 4096
#: Addresses that turned out to be our own.
MAX_OWN_ADDRESSES = 256

#: A duplicate connection goes when it has had no stream for so long.
SPARE_SECONDS = 5.0
#: A new peer is not sent away to make room before that.
GRACE_SECONDS = 20.0
#: Peers of this weight never go.
PROTECTED_WEIGHT = 1000.0
MAX_WEIGHED_PEERS = 4096
MAX_TAGS = 16
#: At most one inbound peer in so many may share one subnet, but a few may always.
SUBNET_DIVISOR = 4
MIN_PER_SUBNET = 8


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Peers connected at once, and connections to one of them."""

    max_peers: int = 150
    max_connections_per_peer: int = 3

    @property
    def per_subnet(self) -> int:
        """Inbound peers that may share one subnet."""
        return max(MIN_PER_SUBNET, self.max_peers // SUBNET_DIVISOR)
