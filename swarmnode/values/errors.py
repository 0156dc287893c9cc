"""Errors that say whose fault it is, what happened and what to do about it.

Four kinds, because four parties can be at fault (DESIGN 9): us (`LocalFault`), another node
(`PeerFault`), nobody but the moment (`Unavailable`), the caller (`Refused`). `code` is a stable
machine-readable word; `hint` is the way out in words a user understands; `param` names the field
of the request that is wrong, where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class SwarmnodeError(Exception):
    """An error with a cause and a way out. Raise one of the four subclasses."""

    kind: ClassVar[str] = "error"

    def __init__(self, message: str, *, code: str, hint: str = "", param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.hint = hint
        self.param = param

    def as_dict(self) -> dict[str, Any]:
        """The error as plain data, for the worker link and for logs."""
        return {
            "kind": self.kind,
            "message": self.message,
            "code": self.code,
            "hint": self.hint,
            "param": self.param,
        }


class LocalFault(SwarmnodeError):
    """This node failed: a bug, a crash, a broken file on its own disk."""

    kind = "local"


class PeerFault(SwarmnodeError):
    """Another node failed or lied."""

    kind = "peer"


class Unavailable(SwarmnodeError):
    """Nobody's fault: not now, not enough room, not loaded yet. Trying again later may work."""

    kind = "unavailable"


class Refused(SwarmnodeError):
    """The caller asked for something that cannot be done as asked."""

    kind = "refused"


_KINDS: dict[str, type[SwarmnodeError]] = {c.kind: c for c in (LocalFault, PeerFault, Unavailable, Refused)}


def error_from_dict(data: Mapping[str, Any]) -> SwarmnodeError:
    """The inverse of `SwarmnodeError.as_dict`; an unknown kind becomes a `LocalFault`."""
    return _KINDS.get(str(data.get("kind")), LocalFault)(
        str(data.get("message", "unknown error")),
        code=str(data.get("code", "internal_error")),
        hint=str(data.get("hint", "")),
        param=data.get("param"),
    )
