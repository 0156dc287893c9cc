"""What to do next: pure functions of a snapshot."""
