"""Llama 1 to 3 and what follows their plan (Mistral, TinyLlama, ...). Source: arXiv 2302.13971."""

from swarmnode.inference.models.family import Family

FAMILY = Family(architecture="llama", rope="pairs", projection_bias="optional")
