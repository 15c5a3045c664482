"""The command line: one file a command, no logic. ``main`` turns every foreseen failure into one line and an exit code."""

from __future__ import annotations

from probe.cli.main import main

__all__ = ["main"]
