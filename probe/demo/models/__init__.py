"""The models of the demo endpoint, by name."""
