"""Plan, dispatch, limits, retries, journal: the one place that awaits."""
