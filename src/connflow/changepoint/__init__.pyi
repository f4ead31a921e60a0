from .batch import Batch, fit_batch
from .batch_params import BATCH_VERSION, BatchParams, FitGrid
from .compare import compare_evidence, order_changepoints
from .export import to_inference_data
from .fit import ChangepointFit, fit_changepoints, prepare
from .page import render_batch_page, render_fit_page
from .params import CHANGEPOINT_VERSION, ChangepointParams, PageParams
from .pytau import read_pytau_database
from .surrogates import make_surrogate

__all__ = [
    "BATCH_VERSION",
    "CHANGEPOINT_VERSION",
    "Batch",
    "BatchParams",
    "ChangepointFit",
    "ChangepointParams",
    "FitGrid",
    "PageParams",
    "compare_evidence",
    "fit_batch",
    "fit_changepoints",
    "make_surrogate",
    "order_changepoints",
    "prepare",
    "read_pytau_database",
    "render_batch_page",
    "render_fit_page",
    "to_inference_data",
]
