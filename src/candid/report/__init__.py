"""A report: one content, three views (report.json, index.html, terminal)."""

from candid.report.document import Report
from candid.report.page import html
from candid.report.terminal import text

__all__ = ["Report", "html", "text"]
