"""What is computed from explanations: intervals, maps."""
