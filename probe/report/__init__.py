"""Reports: one HTML file, a fragment for notebooks, a summary for terminals. Drawn from stored records, nothing else."""

from probe.report.clean import safe_text
from probe.report.html import explanation_fragment, render_report
from probe.report.model import Shown, Unexplained
from probe.report.terminal import terminal_summary
from probe.report.trust import Fact, TrustCard

__all__ = [
    "Fact",
    "Shown",
    "TrustCard",
    "Unexplained",
    "explanation_fragment",
    "render_report",
    "safe_text",
    "terminal_summary",
]
