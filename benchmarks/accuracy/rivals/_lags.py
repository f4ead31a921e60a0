"""Counts of spike pairs by lag, for all ordered pairs of units."""

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True, nogil=True)
def count_lags(
    ticks: NDArray[np.int64],
    units: NDArray[np.int32],
    n_units: int,
    n_bins: int,
    bin_ticks: int,
) -> NDArray[np.int32]:
    """Count for each pair (source, target) how often the target fired so long after the source.

    Parameters
    ----------
    ticks, units : (n_spikes,)
        Ascending by tick.
    n_units, n_bins, bin_ticks : int

    Returns
    -------
    (n_units, n_units, n_bins) int32
        Entry ``[i, j, k]``: pairs with ``k bin_ticks <= t_j - t_i < (k + 1) bin_ticks``. A pair at
        lag 0 counts for both orders.
    """
    counts = np.zeros((n_units, n_units, n_bins), np.int32)
    reach = n_bins * bin_ticks
    oldest = 0
    for k in range(len(ticks)):
        while ticks[k] - ticks[oldest] >= reach:
            oldest += 1
        for earlier in range(oldest, k):
            lag = ticks[k] - ticks[earlier]
            counts[units[earlier], units[k], lag // bin_ticks] += 1
            if lag == 0:
                counts[units[k], units[earlier], 0] += 1
    return counts
