"""Measurements of the engine, and of its accuracy, beside llama.cpp. Run from the repository's root:

python -m benchmarks.models --help     write the models
python -m benchmarks.engine --help     speed: both engines in turn
python -m benchmarks.serving --help    many requests at once, start-up, memory
python -m benchmarks.accuracy --help   quantised weights against float32 products
"""
