"""What the node tells of itself: logs and metrics."""
