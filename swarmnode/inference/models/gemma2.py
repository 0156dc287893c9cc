"""Gemma 2: windows in turn, capped scores and logits. Source: arXiv 2408.00118."""

from swarmnode.inference.models.family import Family

FAMILY = Family(
    architecture="gemma2",
    rope="halves",
    activation="gelu",
    post_norms=True,
    window_period=2,
    default_window=4096,
    attention_softcap=50.0,
    final_softcap=30.0,
    scaled_embedding=True,
    shared_width_layers=46,
)
