"""GLM 4 (0414), dense. Source: arXiv 2406.12793 and the published model code."""

from swarmnode.inference.models.family import Family

FAMILY = Family(
    architecture="glm4",
    rope="pairs",
    projection_bias="optional",
    fused_qkv=True,
    fused_gate=True,
    post_norms=True,
)
