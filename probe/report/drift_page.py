"""A check as one HTML file: no JavaScript, nothing loaded from elsewhere."""

from __future__ import annotations

from probe.report.drift_view import CheckView
from probe.report.html import environment


def check_html(view: CheckView) -> str:
    """An HTML5 document; every string passes through autoescape."""
    return environment().get_template("check.html.j2").render(check=view)
