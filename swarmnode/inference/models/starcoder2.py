"""StarCoder 2: LayerNorm, biases everywhere, no gate. Source: arXiv 2402.19173."""

from swarmnode.inference.models.family import Family

FAMILY = Family(
    architecture="starcoder2",
    rope="halves",
    projection_bias="required",
    output_bias="required",
    feed_forward_bias="required",
    norm="layer",
    activation="gelu",
    gated=False,
)
