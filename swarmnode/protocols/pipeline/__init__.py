"""Split inference: the machine of the head, which keeps a request going over stages that may fail."""
