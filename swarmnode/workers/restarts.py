"""When a worker that failed may be started again: pure figures."""

from __future__ import annotations

#: Seconds before the first restart; doubled with each further failure in a row.
FIRST_DELAY = 0.25
LONGEST_DELAY = 60.0
#: A worker that ran so long without failing starts with a clean record.
STEADY_SECONDS = 120.0


def restart_delay(failures: int) -> float:
    """Seconds to wait after so many failures in a row; the first one costs nothing."""
    if failures < 2:
        return 0.0
    return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(failures - 2, 16))


def failures_after(failures: int, ran_seconds: float) -> int:
    """The failures in a row, counting the one of a worker that had run so long."""
    return 1 if ran_seconds >= STEADY_SECONDS else failures + 1
