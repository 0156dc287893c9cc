"""Drawing the next token: a function of (request, tokens so far) and nothing else (DESIGN 6)."""
