"""The stage: one call a step over a range of layers."""
