"""The report: one self-contained HTML page about a finished connectivity run.

In goes what the earlier steps made (`ReportContent`); out come the page and its figures
(`Report`). The page needs no network, no server and no connflow to be read.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
