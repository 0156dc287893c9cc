"""Split inference: the head and the stages as machines."""
