"""The report: one self-contained HTML page about a finished connectivity run.

In goes what the earlier steps made (`ReportContent`); out come the page and its figures
(`Report`). The page needs no network, no server and no connflow to be read.
"""

from connflow.report.content import Report, ReportContent
from connflow.report.page import render_report
from connflow.report.params import REPORT_VERSION, ReportParams

__all__ = ["REPORT_VERSION", "Report", "ReportContent", "ReportParams", "render_report"]
