"""Regression checks against models that change in known ways."""
