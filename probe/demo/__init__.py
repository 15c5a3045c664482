"""Real models behind a loopback endpoint: what `probe demo` probes, and what tests and benchmarks are judged by."""
