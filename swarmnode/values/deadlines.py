"""The error of a request that was given so much time and took more."""

from __future__ import annotations

from swarmnode.values.errors import Unavailable


def deadline_exceeded(took: float, waited: float) -> Unavailable:
    """took: seconds since it was submitted; waited: how many of them for its turn."""
    return Unavailable(
        f"The request was not done within {took:.1f} s, of which it waited {waited:.1f} s for its turn",
        code="deadline_exceeded",
        hint="Allow more time, ask for fewer tokens, or try again when less is going on.",
        param="timeout",
    )
