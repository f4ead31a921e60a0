from .draws import Point, draw_points, grid_values
from .figure import draw_sweep
from .page import render_page
from .params import N_TRIALS, SWEEP_VERSION, Choices, Range, Space, SweepParams
from .table import SweepRecord, TrialRecord, best_row, tabulate

__all__ = [
    "N_TRIALS",
    "SWEEP_VERSION",
    "Choices",
    "Point",
    "Range",
    "Space",
    "SweepParams",
    "SweepRecord",
    "TrialRecord",
    "best_row",
    "draw_points",
    "draw_sweep",
    "grid_values",
    "render_page",
    "tabulate",
]
