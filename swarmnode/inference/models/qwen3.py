"""Qwen 3, dense: normalised queries and keys. Source: arXiv 2505.09388."""

from swarmnode.inference.models.family import Family

FAMILY = Family(architecture="qwen3", rope="halves", head_norm=True)
