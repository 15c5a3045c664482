"""Black-box probing of remote machine-learning APIs."""
