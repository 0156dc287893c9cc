"""`twistd swarmnode` and `twist swarmnode`: options -> configuration -> service."""

from __future__ import annotations

import atexit
import os
import sys
from typing import Any, ClassVar

from twisted.logger import Logger
from twisted.python import usage

from swarmnode.values.errors import Refused, SwarmnodeError


class Options(usage.Options):
    """The flags of `swarmnode run`, in twistd's way."""

    synopsis = "[options]"
    optParameters: ClassVar[list[list[Any]]] = [
        ["port", "p", None, "HTTP port (node.listen_port)"],
        ["data-dir", "d", None, "data directory (node.data_dir)"],
        ["config", "c", None, "configuration file"],
        ["model", "m", None, "a GGUF model file to serve first (inference.model_path)"],
    ]
    optFlags: ClassVar[list[list[str | None]]] = [["no-browser", None, "do not open the page in a browser"]]

    def __init__(self) -> None:
        super().__init__()
        self["set"] = {}

    def opt_set(self, assignment: str) -> None:
        """Set any key: --set section.key=value (may be repeated)."""
        key, equals, value = assignment.partition("=")
        if not equals:
            raise usage.UsageError(f"--set wants section.key=value, not {assignment!r}")
        self["set"][key.strip()] = value

    def overrides(self) -> dict[str, str]:
        """The flags as configuration keys."""
        flags = {
            "node.listen_port": self["port"],
            "node.data_dir": self["data-dir"],
            "inference.model_path": self["model"],
            "ui.open_browser_on_start": "false" if self["no-browser"] else None,
        }
        return {key: value for key, value in flags.items() if value is not None} | self["set"]


def makeService(options: Options) -> Any:
    """Build the node's service. What cannot start says so in one line and exits with 2 (a refusal:
    taken port, taken data directory, bad configuration) or 1."""
    from swarmnode.assembly import make_service
    from swarmnode.config import load_config

    try:
        node = make_service(
            load_config(options.overrides(), config_path=options["config"]), log_stream=_TwistdLog()
        )
    except SwarmnodeError as error:
        hint = f" {error.hint}" if error.hint else ""
        sys.stderr.write(f"swarmnode: {error.message}{hint}\n")
        raise SystemExit(2 if isinstance(error, Refused) else 1) from error

    # twistd has no exit code for a service that ended itself; a supervisor such as systemd needs one.
    atexit.register(lambda: os._exit(node.exit_code) if node.exit_code else None)
    return node


class _TwistdLog:
    """A stream whose lines go where twistd's log goes."""

    def __init__(self) -> None:
        self._log = Logger("swarmnode")

    def write(self, text: str) -> int:
        for line in text.splitlines():
            self._log.info("{line}", line=line)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def isatty(self) -> bool:
        return False
