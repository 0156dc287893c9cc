"""Phi 3, 3.5 and 4: fused projections. Source: arXiv 2404.14219."""

from swarmnode.inference.models.family import Family

FAMILY = Family(architecture="phi3", rope="halves", fused_qkv=True, fused_gate=True)
