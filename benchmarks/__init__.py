"""What the performance goals are measured with. Each module is one command: ``python -m benchmarks.NAME``."""
