"""All families by the word that `general.architecture` has for them."""

from __future__ import annotations

from swarmnode.inference.models import (
    gemma,
    gemma2,
    gemma3,
    glm4,
    llama,
    phi3,
    qwen2,
    qwen3,
    qwen3moe,
    starcoder2,
)
from swarmnode.inference.models.family import Family
from swarmnode.values.errors import Refused

_MODULES = (llama, qwen2, qwen3, qwen3moe, gemma, gemma2, gemma3, phi3, glm4, starcoder2)
FAMILIES: dict[str, Family] = {module.FAMILY.architecture: module.FAMILY for module in _MODULES}


def family_of(architecture: str) -> Family:
    """The family of that name; raises `Refused` naming those there are."""
    if architecture not in FAMILIES:
        raise Refused(
            f"the architecture {architecture!r} is not supported",
            code="unsupported_architecture",
            hint=f"Choose a model of one of these architectures: {', '.join(FAMILIES)}.",
        )
    return FAMILIES[architecture]
