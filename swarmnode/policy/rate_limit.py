"""How many requests a caller may make: token buckets in a bounded table."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

MAX_CALLERS = 4096
SECONDS_A_MINUTE = 60.0


@dataclass(slots=True)
class _Bucket:
    tokens: float
    stamp: float


class TokenBuckets:
    """One bucket a caller: it holds a minute's worth and refills evenly.

    per_minute: requests a minute, 0 for no limit. The table keeps the `callers` used last; who is
    forgotten begins with a full bucket again, which bounds memory at the price of being lenient.
    """

    def __init__(self, per_minute: int, callers: int = MAX_CALLERS) -> None:
        self._size = float(per_minute)
        self._rate = per_minute / SECONDS_A_MINUTE
        self._callers = callers
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, caller: str, now: float) -> float:
        """Take one token. 0.0 when it was there, else the seconds until there will be one."""
        if not self._size:
            return 0.0
        bucket = self._bucket(caller, now)
        bucket.tokens = min(self._size, bucket.tokens + max(0.0, now - bucket.stamp) * self._rate)
        bucket.stamp = now
        if bucket.tokens >= 1.0:
            bucket.tokens -= 1.0
            return 0.0
        return (1.0 - bucket.tokens) / self._rate

    def _bucket(self, caller: str, now: float) -> _Bucket:
        bucket = self._buckets.setdefault(caller, _Bucket(self._size, now))
        self._buckets.move_to_end(caller)
        while len(self._buckets) > self._callers:
            self._buckets.popitem(last=False)
        return bucket

    def __len__(self) -> int:
        return len(self._buckets)
