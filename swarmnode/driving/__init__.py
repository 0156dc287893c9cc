"""The driver: runs any machine on a clock and executes its effects."""
