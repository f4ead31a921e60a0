"""Sparse non-negative deconvolution by the OASIS library, one unit after the other."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from connflow.blocks import TimeUnitArray

_ROUNDING = 1e-9  # share of the largest spike below which a value is the library's rounding


def deconvolve_oasis(
    fluorescence: TimeUnitArray,
    frame_rate_hz: float,
    tau_s: NDArray[np.float64],
    units: slice | None = None,
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Estimate the spikes of each unit under first-order calcium dynamics.

    Parameters
    ----------
    fluorescence : (n_frames, n_units) array-like
    frame_rate_hz : float
    tau_s : (n_chosen_units,) float64
        Decay time constants. Baseline and noise level are estimated by the library.
    units : slice, optional
        Which units; all if None.

    Yields
    ------
    place : int
        Which of the chosen units.
    spikes : (n_frames,) float32
        In the units of the fluorescence.

    References
    ----------
    Friedrich, Zhou, Paninski 2017, PLoS Comput Biol 13:e1005423. The noise-constrained form with
    an L1 penalty (``penalty=1``).
    """
    from oasis.functions import deconvolve

    chosen = range(fluorescence.shape[1])[units if units is not None else slice(None)]
    for place, unit in enumerate(chosen):
        trace = np.asarray(fluorescence[:, unit], np.float64)
        result = deconvolve(
            trace,
            tau_d=float(tau_s[place]),
            framerate=frame_rate_hz,
            b_nonneg=False,
            penalty=1,
        )
        spikes = np.asarray(result.s)
        is_rounding = spikes <= _ROUNDING * np.abs(spikes).max()
        yield place, np.where(is_rounding, 0, spikes).astype(np.float32)
