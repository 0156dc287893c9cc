"""Which connections to have: dialling, limits, duplicates, and who goes when there are too many."""
