"""Model files: the GGUF header, tensors by name, nothing loaded before it is asked for."""
