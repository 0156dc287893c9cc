"""Gemma 3, its text part: five layers with a window to one without. Source: arXiv 2503.19786."""

from swarmnode.inference.models.family import Family

FAMILY = Family(
    architecture="gemma3",
    rope="halves",
    head_norm=True,
    activation="gelu",
    post_norms=True,
    window_period=6,
    local_rope_base=10000.0,
    scaled_embedding=True,
    shared_width_layers=62,
)
