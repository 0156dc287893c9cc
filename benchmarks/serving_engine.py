"""Many requests on one engine in this process: each function is one measurement and returns its figures.

All take (model, threads, factory) and the options of `DrivenEngine`; `benchmarks.serving` runs each in a
process of its own.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

from benchmarks.driven_engine import ENGINE, DrivenEngine, Stream

PROMPT, ANSWER = 128, 64
#: Streams that decode while long prompts come in, and those prompts.
OTHERS, OTHERS_ANSWER = 3, 4096
LONG_PROMPT, LONG_PROMPTS = 512, 3
RESENT_PROMPT = 513
FAR_CONTEXT = 4096


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _decode_speed(engine: DrivenEngine, streams: int, seed: int) -> float:
    """Tokens a second of all streams together, from when all have their first token until one is done."""
    asked = [engine.submit(engine.prompt(PROMPT, seed + n), ANSWER) for n in range(streams)]
    engine.run_until(lambda: all(stream.tokens for stream in asked))
    began, before = time.perf_counter(), sum(stream.count for stream in asked)
    engine.run_until(lambda: any(stream.done for stream in asked))
    seconds, made = time.perf_counter() - began, sum(stream.count for stream in asked) - before
    engine.finish(asked)
    return made / seconds


def concurrency(model: str, threads: int, factory: str = ENGINE, **options: Any) -> dict[str, Any]:
    """Decode speed of 1, 4 and 8 streams together, tokens a second, and how many times one it is."""
    engine = DrivenEngine(model, threads, factory, **{"slots": 8, **options})
    engine.warm_up()
    speeds = {count: _decode_speed(engine, count, 100 * count) for count in (1, 4, 8)}
    engine.close()
    return {
        **{f"tok_s_{count}": speed for count, speed in speeds.items()},
        "times_4": speeds[4] / speeds[1],
        "times_8": speeds[8] / speeds[1],
    }


def long_prompt_comes_in(model: str, threads: int, factory: str = ENGINE, **options: Any) -> dict[str, Any]:
    """Gaps between tokens of streams that decode while long prompts come in, one after another, and the
    time to a long prompt's first token then and alone. A step is one that decodes the streams only."""
    engine = DrivenEngine(model, threads, factory, **options)
    engine.warm_up()
    alone = [_first_token(engine, seed) for seed in range(LONG_PROMPTS)]
    others = [engine.submit(engine.prompt(PROMPT, 10 + n), OTHERS_ANSWER) for n in range(OTHERS)]
    engine.run_until(lambda: all(stream.count >= 8 for stream in others))
    calm_from, target = time.perf_counter(), others[0].count + 16
    engine.run_until(lambda: others[0].count >= target)
    came = time.perf_counter()
    beside = [_first_token(engine, LONG_PROMPTS + seed) for seed in range(LONG_PROMPTS)]
    until = time.perf_counter()
    gaps = [gap for stream in others for gap in stream.gaps(came, until)]
    step, ended = statistics.median(engine.step_seconds(calm_from, came)), any(s.done for s in others)
    engine.close()
    if ended:
        raise RuntimeError("the other streams were done before the long prompts: they waited for nobody")
    return {
        "gap_p95_ms": percentile(gaps, 0.95) * 1000,
        "gap_max_ms": max(gaps) * 1000,
        "gaps": len(gaps),
        "step_ms": step * 1000,
        "gap_p95_beyond_a_step_ms": (percentile(gaps, 0.95) - step) * 1000,
        "ttft_alone_ms": [seconds * 1000 for seconds in alone],
        "ttft_beside_others_ms": [seconds * 1000 for seconds in beside],
        "ttft_ratio": statistics.median(beside) / statistics.median(alone),
    }


def _first_token(engine: DrivenEngine, seed: int) -> float:
    stream = engine.submit(engine.prompt(LONG_PROMPT, 500 + seed), 1)
    engine.run_until(lambda: stream.done)
    return stream.first_token_seconds


def prompts_together(model: str, threads: int, factory: str = ENGINE, **options: Any) -> dict[str, Any]:
    """Prompts admitted together: the last first token's time over the first's, for 2, 4 and 8 of them."""
    engine = DrivenEngine(model, threads, factory, **{"slots": 8, **options})
    engine.warm_up()
    found: dict[str, Any] = {}
    for count in (2, 4, 8):
        streams = [engine.submit(engine.prompt(PROMPT, 1000 * count + n), 4) for n in range(count)]
        engine.finish(streams)
        times = [stream.first_token_seconds for stream in streams]
        found[f"last_over_first_{count}"] = max(times) / min(times)
        found[f"ttft_ms_{count}"] = [seconds * 1000 for seconds in times]
    engine.close()
    return found


def resent_prompt(model: str, threads: int, factory: str = ENGINE, **options: Any) -> dict[str, Any]:
    """The first token of a prompt, and of the same one sent again."""
    engine = DrivenEngine(model, threads, factory, **options)
    engine.warm_up()
    prompt = engine.prompt(RESENT_PROMPT, 5)
    streams: list[Stream] = []
    for _ in range(4):
        streams.append(engine.submit(prompt, 1))
        engine.finish(streams)
    first, again = streams[0].first_token_seconds, [s.first_token_seconds for s in streams[1:]]
    engine.close()
    return {
        "ttft_first_ms": first * 1000,
        "ttft_again_ms": [seconds * 1000 for seconds in again],
        "cached_tokens": streams[-1].cached,
        "times_faster": first / statistics.median(again),
    }


def far_context(model: str, threads: int, factory: str = ENGINE, **options: Any) -> dict[str, Any]:
    """Decode speed after 128 tokens and after 4096, tokens a second of one stream."""
    engine = DrivenEngine(model, threads, factory, **options)
    engine.warm_up()
    speeds: dict[int, float] = {}
    for count in (PROMPT, FAR_CONTEXT):
        stream = engine.submit(engine.prompt(count, count), ANSWER)
        engine.finish([stream])
        moments = [moment for moment, _number in stream.tokens]
        speeds[count] = (stream.count - stream.tokens[0][1]) / (moments[-1] - moments[0])
    engine.close()
    return {
        "tok_s_at_128": speeds[PROMPT],
        "tok_s_at_4096": speeds[FAR_CONTEXT],
        "share": speeds[FAR_CONTEXT] / speeds[PROMPT],
    }
