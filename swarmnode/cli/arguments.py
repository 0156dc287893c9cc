"""Arguments that several commands share, and the configuration they lead to."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import TYPE_CHECKING, NoReturn

from swarmnode.values.errors import Refused

if TYPE_CHECKING:
    from swarmnode.config import Config, Override


class Parser(ArgumentParser):
    """An argparse parser whose complaints are errors like all others (and JSON where that is asked for)."""

    def error(self, message: str) -> NoReturn:
        """Raise `Refused(code="bad_usage")`."""
        raise Refused(message, code="bad_usage", hint=f"`{self.prog} --help` shows what it takes.")


def add_verbosity(parser: ArgumentParser) -> None:
    """-v, -vv, -vvv."""
    parser.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=0,
        help="say more: -vv debug, -vvv everything (-v is info, the default)",
    )


def add_json(parser: ArgumentParser) -> None:
    """--json: exactly one line on standard output."""
    parser.add_argument("--json", action="store_true", help="print exactly one line of JSON")


def add_backend(parser: ArgumentParser) -> None:
    """--backend: what computes."""
    parser.add_argument(
        "--backend",
        choices=("cpu", "numpy"),
        default="cpu",
        help="cpu: kernels compiled for this processor (default); numpy: the reference",
    )


def add_place(parser: ArgumentParser) -> None:
    """Where the node is: its port, data directory and configuration file."""
    parser.add_argument(
        "-p", "--port", metavar="PORT", help="port of the node's page and APIs (default: 8800)"
    )
    parser.add_argument("-d", "--data-dir", metavar="PATH", help="data directory of the node")
    parser.add_argument("-c", "--config", metavar="PATH", help="configuration file")


def add_settings(parser: ArgumentParser) -> None:
    """Everything that can set configuration keys."""
    add_place(parser)
    parser.add_argument("-m", "--model", metavar="PATH", help="a GGUF model file to offer")
    parser.add_argument("--gpu-layers", metavar="N", help="layers to run on the GPU (-1: as many as fit)")
    parser.add_argument(
        "--bootstrap", metavar="ADDR", action="append", help="multiaddr of a peer to connect to (repeatable)"
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open the page in the browser")
    parser.add_argument("--log-json", action="store_true", help="log one JSON object a line")
    parser.add_argument(
        "--set",
        metavar="SECTION.KEY=VALUE",
        action="append",
        default=[],
        help="set any configuration key (repeatable)",
    )


def config_from(args: Namespace) -> Config:
    """The configuration that the arguments, the environment and the file give. Raises `Refused`."""
    from swarmnode.config import load_config

    return load_config(
        overrides_from(args),
        config_path=getattr(args, "config", None),
        verbosity=getattr(args, "verbose", 0),
    )


_FLAGS = {
    "port": "node.listen_port",
    "data_dir": "node.data_dir",
    "model": "inference.model_path",
    "gpu_layers": "inference.gpu_layers",
}


def overrides_from(args: Namespace) -> tuple[Override, ...]:
    """The configuration keys that the arguments set."""
    from swarmnode.config import Override, assignment

    given = []
    for name, key in _FLAGS.items():
        value = getattr(args, name, None)
        if value is not None:
            given.append(Override(key, value, "--" + name.replace("_", "-")))
    if getattr(args, "bootstrap", None):
        given.append(Override("network.bootstrap_peers", tuple(args.bootstrap), "--bootstrap"))
    if getattr(args, "no_browser", False):
        given.append(Override("ui.open_browser_on_start", "false", "--no-browser"))
    if getattr(args, "log_json", False):
        given.append(Override("logging.format", "json", "--log-json"))
    return (*given, *(assignment(text) for text in getattr(args, "set", ())))


def positive(text: str) -> int:
    """A whole number from 1 to a million, for argparse."""
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise ArgumentTypeError(f"{text!r} is not a whole number from 1 to 1000000")
    return int(text)


def temperature(text: str) -> float:
    """A sampling temperature from 0 to 2, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 2.0:
        raise ArgumentTypeError(f"{text!r} is not a number from 0 to 2")
    return value
