"""Which profiles a greeting names."""

from __future__ import annotations

from swarmnode.inference.stage.compiled_stage import KERNEL
from swarmnode.policy.numerics import COMPILED, computable


def test_the_compiled_back_end_computes_in_every_type_of_its_class() -> None:
    profiles = computable("cpu")
    assert COMPILED == KERNEL
    assert "cpu-1:kv=f16:residual=f16" in profiles
    assert "cpu-1:kv=q8_0:residual=f32" in profiles
    assert len(profiles) == len(set(profiles)) == 9


def test_nothing_is_promised_that_depends_on_the_processor() -> None:
    assert computable("numpy") == computable("scripted") == computable("") == ()
