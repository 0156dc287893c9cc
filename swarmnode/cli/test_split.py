"""`swarmnode test-split`: does a model that is cut over workers, or over two nodes, say the same as a whole
one?"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarmnode.cli import split_peer
from swarmnode.cli.arguments import add_backend
from swarmnode.cli.output import print_json, say
from swarmnode.values.errors import Refused
from swarmnode.values.layers import LayerRange, parse_split

if TYPE_CHECKING:
    from swarmnode.values.generation import Prompt
    from swarmnode.values.loading import LoadSpec
    from swarmnode.workers.split_check import Outcome

DEFAULT_PROMPT = "Hello! Please tell me what you are, and what I can do with you today."
STAGES, MAX_STAGES = 2, 16
MAX_TOKENS = 4096
#: Tokens of a prompt and its answer; what a model claims to hold may be any number.
MAX_CONTEXT = 32768
#: Room for keys and values, and what the reference holds as float32, of each worker.
_KV_BYTES = 1 << 30
_HELD_BYTES = 1 << 30


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("-m", "--model", metavar="PATH", help="a GGUF model file (default: the guide model)")
    parser.add_argument("--prompt", default=DEFAULT_PROMPT, help="what the model is asked")
    parser.add_argument("--max-tokens", type=int, default=32, help="tokens of each answer (32)")
    parser.add_argument("--seed", type=int, default=7, help="seed of the sampled answers (7)")
    cut = parser.add_mutually_exclusive_group()
    cut.add_argument("--split", metavar="0-2,3-5", help="cut the model into these layer ranges")
    cut.add_argument("--stages", type=int, help="cut it into so many ranges (2)")
    parser.add_argument(
        "--kill",
        choices=("prefill", "decode", "both"),
        help="also kill each stage in mid-answer and let a new worker take over",
    )
    add_backend(parser)
    split_peer.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print exactly one line of JSON")


def run(args: Namespace) -> int:
    """Check; 0 when every answer was identical, else 1. Raises `Refused` for what cannot be run."""
    split_peer.check(args)
    _check_tokens(args.max_tokens)
    return split_peer.run(args) if args.peer else _run_here(args)


def _run_here(args: Namespace) -> int:
    from swarmnode.observability.logs import set_up_logs
    from swarmnode.values.settings import LogSettings
    from swarmnode.workers.split_check import SplitCheck, When, scenarios

    set_up_logs(
        LogSettings(), twisted=False
    )  # what workers say goes to standard error, as all but the result
    path = Path(args.model) if args.model else guide_model()
    ranges, spec, prompt = plan(path, args)
    reactor = _monotonic_reactor()
    kills: tuple[When, ...] = ("prefill", "decode") if args.kill == "both" else (args.kill,) * bool(args.kill)
    check = SplitCheck(reactor, spec, ranges, prompt, args.max_tokens, say)
    outcomes = _in_reactor(reactor, lambda: check.run(scenarios(args.seed, kills, len(ranges))))
    ok = all(outcome.passed for outcome in outcomes)
    _report(args, path, ranges, check.profile, outcomes, ok)
    return 0 if ok else 1


def _check_tokens(count: int) -> None:
    if not 1 <= count <= MAX_TOKENS:
        raise Refused(f"--max-tokens goes from 1 to {MAX_TOKENS}", code="bad_argument")


def guide_model() -> Path:
    """The packaged guide model. Raises `Refused` where it is missing."""
    path = Path(str(resources.files("swarmnode.inference") / "guide" / "guide.gguf"))
    if not path.is_file():
        raise Refused("The guide model is not installed", code="no_model", hint="Name a model with --model.")
    return path


def plan(path: Path, args: Namespace) -> tuple[tuple[LayerRange, ...], LoadSpec, Prompt]:
    """Where the model is cut, what each worker loads, and the prompt."""
    from swarmnode.models.facts import read_facts
    from swarmnode.models.gguf import GgufFile
    from swarmnode.values.generation import Conversation, Message, RawText
    from swarmnode.values.loading import LoadSpec

    with GgufFile(path) as gguf:
        facts = read_facts(gguf)
        chats = "tokenizer.chat_template" in gguf.metadata
    ranges = (
        parse_split(args.split, facts.layers)
        if args.split
        else even_split(facts.layers, args.stages or STAGES)
    )
    spec = LoadSpec(
        path.stem,
        str(path),
        backend=args.backend,
        context=min(facts.context_length, MAX_CONTEXT),
        kv_bytes=_KV_BYTES,
        dequantised_bytes=_HELD_BYTES,
    )
    prompt = Conversation((Message("user", args.prompt),)) if chats else RawText(args.prompt)
    return ranges, spec, prompt


def even_split(layers: int, stages: int) -> tuple[LayerRange, ...]:
    """Ranges of about the same length. Raises `Refused`."""
    if not 1 <= stages <= min(layers, MAX_STAGES):
        most = min(layers, MAX_STAGES)
        raise Refused(f"{layers} layers can be cut into 1 to {most} stages", code="bad_layer_range")
    bounds = [layers * i // stages for i in range(stages + 1)]
    return tuple(LayerRange(a, b) for a, b in pairwise(bounds))


def _monotonic_reactor() -> Any:
    """The global reactor, with a clock that nobody can step."""
    from twisted.internet import reactor

    clock: Any = reactor
    clock.seconds = time.monotonic
    return clock


def _in_reactor(reactor: Any, work: Any) -> Any:
    """Run the reactor until the Deferred of `work()` fires; its result, or its error raised. Ctrl-C raises
    `KeyboardInterrupt`, as everywhere."""
    results: list[Any] = []

    def begin() -> None:
        work().addBoth(results.append).addBoth(lambda _result: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()
    if not results:
        raise KeyboardInterrupt  # the reactor took the signal and ended
    failure = getattr(results[0], "value", None)
    if isinstance(failure, BaseException):
        raise failure
    return results[0]


def _report(
    args: Namespace,
    path: Path,
    ranges: tuple[LayerRange, ...],
    profile: str,
    outcomes: list[Outcome],
    ok: bool,
) -> None:
    if not args.json:
        say(f"\n{outcomes[0].expected.strip()}\n")
        say("all answers are identical" if ok else "not all answers are identical")
        return
    rows = [
        {
            "scenario": o.scenario.name,
            "tokens": o.tokens,
            "kills": o.kills,
            "identical": o.identical,
            "passed": o.passed,
        }
        for o in outcomes
    ]
    texts = {o.scenario.name: o.expected for o in outcomes if o.scenario.killed is None}
    split = ",".join(map(str, ranges))
    print_json(
        {
            "ok": ok,
            "model": str(path),
            "split": split,
            "profile": profile,
            "scenarios": rows,
            "texts": texts,
        }
    )
