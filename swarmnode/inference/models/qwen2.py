"""Qwen 2 and 2.5: biased projections. Source: arXiv 2407.10671."""

from swarmnode.inference.models.family import Family

FAMILY = Family(architecture="qwen2", rope="halves", projection_bias="required")
