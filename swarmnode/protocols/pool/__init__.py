"""Which connections to have: dialling, back-off, limits."""
