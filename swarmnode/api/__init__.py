"""HTTP: thin dialects over one response core."""
