"""How many files and sockets this process may have open, and so how many connections it can serve.

Systems start programs with a low limit (256 on macOS, 1024 on most Linux) that they let them raise
themselves. Beyond it no connection can be accepted and no worker started.
"""

from __future__ import annotations

import sys

WANTED_DESCRIPTORS = 4096
#: Kept for workers (a few each), the database, the log and what is opened for a moment.
RESERVED_DESCRIPTORS = 128
MIN_CONNECTIONS = 16


def connections_within(limit: int, most: int) -> int:
    """How many connections to serve where `limit` descriptors may be open: `most` at the most."""
    return max(MIN_CONNECTIONS, min(most, limit - RESERVED_DESCRIPTORS))


if sys.platform == "win32":

    def raise_limit(wanted: int = WANTED_DESCRIPTORS) -> int:
        """Windows sets no such limit."""
        return wanted

else:
    import resource

    def raise_limit(wanted: int = WANTED_DESCRIPTORS) -> int:
        """Raise this process's limit to `wanted` as far as the system lets it; what it is then."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY or soft >= wanted:
            return wanted
        new = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (new, hard))
        except (OSError, ValueError):
            return soft
        return new
