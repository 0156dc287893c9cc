"""Ranges of layers and numerics profiles: what a stage is and how it computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from swarmnode.values.errors import Refused

KvType = Literal["f32", "f16", "q8_0"]
ResidualType = Literal["f32", "f16", "q8_0"]


@dataclass(frozen=True, slots=True, order=True)
class LayerRange:
    """Layers start <= i < end of a model. Users write them inclusively: `0-2` is layers 0, 1, 2."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise Refused(f"{self.start}-{self.end - 1} is not a range of layers", code="bad_layer_range")

    def __str__(self) -> str:
        return f"{self.start}-{self.end - 1}"

    def __len__(self) -> int:
        return self.end - self.start


def parse_split(text: str, layers: int) -> tuple[LayerRange, ...]:
    """`0-2,3-5` as ranges that cover layers 0..layers-1 once and in order.

    The last end is clipped to the model, so `0-2,3-99` works for any depth. Raises `Refused`.
    """
    hint = f"Write inclusive ranges that follow one another, for this model for example 0-{layers - 1}."
    ranges: list[LayerRange] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise Refused(f"{part!r} is not a range of layers", code="bad_layer_range", hint=hint)
        start, end = int(first), min(int(last if dash else first), layers - 1) + 1
        if start != (ranges[-1].end if ranges else 0) or end <= start:
            raise Refused(f"The ranges {text!r} do not follow one another", code="bad_layer_range", hint=hint)
        ranges.append(LayerRange(start, end))
    if ranges[-1].end != layers:
        raise Refused(
            f"The ranges {text!r} end before the model's last layer {layers - 1}",
            code="bad_layer_range",
            hint=hint,
        )
    return tuple(ranges)


@dataclass(frozen=True, slots=True)
class NumericsProfile:
    """What fixes the bits of an answer (DESIGN 6). A session never changes it.

    kernel: the kernel class, for example `numpy-1/SkylakeX` or `cpu-1`.
    kv: the type K and V are rounded to before any use.
    residual: the rounding of the residual stream: `f32` none, `f16` after every layer,
    `q8_0` at cuts only.
    """

    kernel: str
    kv: KvType = "f16"
    residual: ResidualType = "f32"

    def __str__(self) -> str:
        return f"{self.kernel}:kv={self.kv}:residual={self.residual}"
