"""How many peers to have, and when to try one again."""

from __future__ import annotations

#: Connections that a node looks for by itself. More may come to it.
WANTED_PEERS = 12
#: So many of them it has chosen itself, whoever else has come: strangers that fill its table must not keep it
#: from finding others (Heilman et al., Eclipse Attacks on Bitcoin's Peer-to-Peer Network, 2015).
CHOSEN_PEERS = 4
#: Of those that it chose among what strangers told, so many may share one public subnet.
PER_SUBNET = 3
#: Peers on the local network are all connected up to so many: they are few, near and the fastest.
MDNS_PEERS = 50
#: Attempts under way at once.
MAX_DIALS = 8
#: Peers waiting to be dialled; a newcomer costs the one that waits longest with nobody having asked for it.
MAX_WAITING = 512

#: Found by what the user set or did: always dialled.
ASKED_FOR = ("bootstrap", "invite")
#: Seconds to the first and the longest wait between two attempts.
BOOTSTRAP_WAIT = (5.0, 300.0)
OTHER_WAIT = (5.0, 600.0)
#: Failures after which a peer is no longer tried, until it is found anew; bootstrap peers always are.
MAX_FAILURES = 4


def may_use(how: str, *, offline: bool) -> bool:
    """Whether peers found that way may be dialled: with `offline_mode` those of the local network only."""
    return how == "mdns" or not offline


def is_wanted(how: str, connected: int, dialling: int, chosen: int, most: int) -> bool:
    """Whether one more peer found that way should be dialled. connected, dialling: how many there are.
    chosen: how many of those connected this node has dialled. most: how many may be connected."""
    if how in ASKED_FOR:
        return True
    wanted = MDNS_PEERS if how == "mdns" else WANTED_PEERS
    return connected + dialling < min(wanted, most) or chosen + dialling < min(CHOSEN_PEERS, most)


def is_hearsay(how: str) -> bool:
    """Whether it was found by the word of strangers, or of an earlier run, which may all be one."""
    return how not in ASKED_FOR and how != "mdns"


def again(how: str) -> str:
    """As what a peer is dialled that was known before. What the user set is tried by itself, for ever; a peer
    that was once met there is not, because at one address many may have been."""
    return "inbound" if how in ("", "bootstrap") else how


def urgency(how: str) -> int:
    """Whom to dial first: the lowest."""
    return {"bootstrap": 0, "invite": 0, "mdns": 1, "cache": 2}.get(how, 3)


def weight(how: str) -> float:
    """How much a connection counts where some must go; see `interfaces.host.Host.weigh`."""
    return {"bootstrap": 100.0, "invite": 100.0, "mdns": 50.0}.get(how, 10.0)


def wait_after(how: str, failures: int, chance: float) -> float:
    """Seconds to wait after so many failures in a row (at least 1). chance: 0 to 1, spreads the attempts of
    many nodes over the time."""
    first, longest = BOOTSTRAP_WAIT if how == "bootstrap" else OTHER_WAIT
    return min(longest, first * 2.0 ** min(failures - 1, 16)) * (0.8 + 0.2 * chance)
