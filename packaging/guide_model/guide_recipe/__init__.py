"""The recipe of the built-in guide model: from hand-written text to a GGUF file."""
