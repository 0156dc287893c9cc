"""`twistd swarmnode` and `twist swarmnode`: options -> configuration -> service."""

from __future__ import annotations

import atexit
import os
import sys
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.logger import Logger
from twisted.python import usage

from swarmnode.values.errors import Refused, SwarmnodeError

if TYPE_CHECKING:
    from swarmnode.config import Config


class Options(usage.Options):
    """The flags of `swarmnode run`, in twistd's way."""

    synopsis = "[options]"
    optParameters: ClassVar[list[list[Any]]] = [
        ["port", "p", None, "port of the node's page and APIs (default: 8800)"],
        ["data-dir", "d", None, "data directory of the node"],
        ["config", "c", None, "configuration file"],
        ["model", "m", None, "a GGUF model file to offer"],
        ["gpu-layers", None, None, "layers to run on the GPU (-1: as many as fit)"],
    ]
    optFlags: ClassVar[list[list[str | None]]] = [["no-browser", None, "do not open the page in the browser"]]

    def __init__(self) -> None:
        super().__init__()
        self["bootstrap"], self["set"], self["verbose"] = [], [], 0

    def opt_bootstrap(self, address: str) -> None:
        """multiaddr of a peer to connect to (repeatable)"""
        self["bootstrap"].append(address)

    def opt_set(self, assignment: str) -> None:
        """set any configuration key: section.key=value (repeatable)"""
        self["set"].append(assignment)

    def opt_verbose(self) -> None:
        """say more: -vv debug, -vvv everything (-v is info, the default)"""
        self["verbose"] += 1

    opt_v = opt_verbose


#: The flags that each set one key.
_KEYS = {
    "port": "node.listen_port",
    "data-dir": "node.data_dir",
    "model": "inference.model_path",
    "gpu-layers": "inference.gpu_layers",
}


def config_of(options: Options) -> Config:
    """The configuration that the flags, the environment and the file give. Raises `Refused`."""
    from swarmnode.config import Override, assignment, load_config

    given = [Override(key, options[flag], f"--{flag}") for flag, key in _KEYS.items() if options[flag]]
    if options["bootstrap"]:
        given.append(Override("network.bootstrap_peers", tuple(options["bootstrap"]), "--bootstrap"))
    if options["no-browser"]:
        given.append(Override("ui.open_browser_on_start", "false", "--no-browser"))
    given += map(assignment, options["set"])
    return load_config(given, config_path=options["config"], verbosity=options["verbose"])


def makeService(options: Options) -> Any:
    """Build the node's service. What cannot start says so in one line and exits with 2 (a refusal:
    taken port, taken data directory, bad configuration) or 1."""
    from swarmnode.assembly import make_service

    try:
        node = make_service(config_of(options), log_stream=_TwistdLog())
    except SwarmnodeError as error:
        hint = f"  {error.hint}\n" if error.hint else ""
        sys.stderr.write(f"swarmnode: {error.message}\n{hint}")
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
