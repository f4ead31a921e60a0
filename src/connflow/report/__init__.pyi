from .content import Report, ReportContent
from .page import render_report
from .params import REPORT_VERSION, ReportParams

__all__ = [
    "REPORT_VERSION",
    "Report",
    "ReportContent",
    "ReportParams",
    "render_report",
]
