"""Second moments and connectivity on a device of torch against numpy: equal answers, then speed.

Run ``python -m benchmarks.bench_device [cuda|cpu]``; it needs the extra ``train``. Wall time, since
a device's work is no CPU time; the device is warmed up first.
"""

import os
import sys
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks._measure import measure, print_header, print_table
from connflow.connectivity.activity import Traces, traces
from connflow.connectivity.inference import infer_connectivity
from connflow.connectivity.moments import Kernel, Moments, accumulate_moments
from connflow.connectivity.params import ConnectivityParams

CLOSE = 1e-4
NAMES = ("feature_sum", "target_sum", "target_square", "gram", "feature_square", "cross")
SIZES: tuple[tuple[int, int, list[Kernel]], ...] = (
    (300, 60_000, [(1, 1), (2, 6)]),
    (1000, 131_072, [(1, 1), (2, 20)]),
)
METHODS = ("lagged_regression", "kernel_regression", "innovation_regression", "correlation")


def draw_frames(n_units: int, n_frames: int) -> NDArray[np.float32]:
    """Draw traces in which some units drive others one frame later."""
    rng = np.random.default_rng(0)
    weights = (rng.random((n_units, n_units)) < 0.05) * rng.normal(0, 0.1, (n_units, n_units))
    frames = rng.standard_normal((n_frames, n_units), dtype=np.float32)
    frames[1:] += frames[:-1] @ weights.astype(np.float32)
    return frames


def sum_up(activity: Traces, kernels: list[Kernel], device: str) -> Moments:
    """Return the centred second moments."""
    return accumulate_moments(activity, kernels, with_gram=True, device=device).centred()


def compare_moments(device: str) -> None:
    """Print times of second moments, and how far the device's lie from numpy's."""
    rows = []
    for n_units, n_frames, kernels in SIZES:
        activity, found, times = traces(draw_frames(n_units, n_frames), 0.02), [], []
        for name in ("numpy", device, device):
            moments, cost = measure(partial(sum_up, activity, kernels, name))
            found.append(moments)
            times.append(cost.wall_s)
        scale = float(np.abs(found[0].target_square).max())
        far = max(
            float(np.abs(getattr(found[0], name) - getattr(found[-1], name)).max()) / scale
            for name in NAMES
        )
        assert far < CLOSE, f"{device} differs by {far:g} of the largest sum"
        size = f"{n_units} units, {n_frames} frames, {kernels}"
        rows.append((size, f"{times[0]:.2f}", f"{times[-1]:.2f}", f"{far:.0e}"))
    print_table(("second moments", "numpy, s", f"{device}, s", "largest difference"), rows)


def compare_methods(device: str) -> None:
    """Print how far weights and z on the device lie from those by numpy."""
    activity, rows = traces(draw_frames(200, 40_000), 0.02), []
    for method in METHODS:
        params, found = ConnectivityParams.parse({"method": method, "delay_max_s": 0.1}), []
        for name in ("numpy", device):
            os.environ["CONNFLOW_DEVICE"] = name
            found.append(infer_connectivity(activity, np.arange(200), params))
        far = []
        for variable in ("weight", "z"):
            ours, theirs = (one[variable].to_numpy() for one in found)
            far.append(float(np.abs(ours - theirs).max() / np.abs(ours).max()))
        assert max(far) < CLOSE, f"{method} on {device} differs by {max(far):g} of the largest"
        rows.append((method, *(f"{value:.0e}" for value in far)))
    print_table(("200 units, 40 000 frames", "weight differs by", "z differs by"), rows)


def main(device: str = "cuda") -> None:
    """Compare, and print."""
    print_header(f"connectivity: {device} against numpy")
    compare_moments(device)
    compare_methods(device)


if __name__ == "__main__":
    main(*sys.argv[1:])
