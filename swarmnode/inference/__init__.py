"""What runs in the worker process: everything that touches text or tensors."""
