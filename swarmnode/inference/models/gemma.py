"""Gemma. Its files hold the weights of norms with 1 added already. Source: arXiv 2403.08295."""

from swarmnode.inference.models.family import Family

FAMILY = Family(architecture="gemma", rope="halves", activation="gelu", scaled_embedding=True)
