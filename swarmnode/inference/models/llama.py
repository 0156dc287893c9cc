"""Llama 1 to 3 and what follows their plan: Mistral, TinyLlama, and Mixtral with its experts.

Sources: arXiv 2302.13971, arXiv 2310.06825 (Mistral), arXiv 2401.04088 (Mixtral).
"""

from swarmnode.inference.models.family import Family

FAMILY = Family(
    architecture="llama",
    rope="pairs",
    projection_bias="optional",
    output_bias="optional",
    feed_forward_bias="optional",
    experts="optional",
)
