"""Shapley values of real games against the exact ones, beside the best existing tools: ``python -m benchmarks.accuracy``."""
