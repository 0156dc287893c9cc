"""Qwen 3 with experts. Source: arXiv 2505.09388."""

from swarmnode.inference.models.family import Family

FAMILY = Family(architecture="qwen3moe", rope="halves", head_norm=True, experts="required")
