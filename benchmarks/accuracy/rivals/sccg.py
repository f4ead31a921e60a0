"""The smoothed cross-correlogram: a peak or trough against the correlogram's own slow trend.

References
----------
Stark E, Abeles M (2009). Unbiased estimation of precise temporal correlations between spike trains.
Journal of Neuroscience Methods 179:90-100. English DF et al. (2017). Pyramidal cell-interneuron
circuit architecture and dynamics in hippocampal networks. Neuron 96:505-520. With the settings of
Donner C et al. (2024), PLoS Computational Biology 20:e1011964 (spycon).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d
from scipy.stats import poisson

from benchmarks.accuracy.answer import Answer
from benchmarks.accuracy.rivals._lags import count_lags
from connflow.connectivity import spike_trains
from connflow.recording.model import SpikeRecording

BIN_S = 0.0004
KERNEL_SD_S = 0.01
HOLLOW_FRACTION = 0.6
FIRST_LAG_S, LAST_LAG_S = 0.0008, 0.0058
ALPHA = 0.001


def infer(recording: SpikeRecording) -> Answer:
    """Test each pair's correlogram, at 0.8 to 5.8 ms, against its smooth.

    Notes
    -----
    ``smooth`` is the correlogram ``c`` convolved with a Gaussian of 10 ms that has 0.6 of its
    height at the centre; ``mu`` is its largest value within the window of lags. With ``P`` Poisson
    of mean mu, p is the smaller of ``P(n > max c) + P(max c) / 2`` and
    ``P(n < min c) + P(min c) / 2``. The score is ``-log p``, negative where it is the trough;
    significant above ``-log(alpha / n_lags)``.
    """
    trains = spike_trains(recording).coarsened(BIN_S)
    kernel = hollow_kernel()
    half = len(kernel) // 2
    first, last = round(FIRST_LAG_S / BIN_S), round(LAST_LAG_S / BIN_S)
    counts = count_lags(trains.ticks, trains.units, trains.n_units, last + half, 1)
    strength, sign, weight = (np.zeros(counts.shape[:2]) for _ in range(3))
    n_spikes = np.maximum(np.bincount(trains.units, minlength=trains.n_units), 1)
    for source in range(trains.n_units):
        whole = _both_sides(counts, source)
        smooth = correlate1d(whole.astype(float), kernel, axis=1, mode="constant")
        centre = whole.shape[1] // 2
        window = slice(centre + first, centre + last)
        here, trend = whole[:, window], smooth[:, window]
        strength[source], sign[source] = score(here, trend.max(axis=1))
        weight[source] = (here - trend).sum(axis=1) / n_spikes[source]
    significant = strength > -np.log(ALPHA / (last - first))
    return Answer(z=sign * strength, weight=weight, mask=significant, notes={})


def hollow_kernel() -> NDArray[np.float64]:
    """Return the partially hollow Gaussian, five standard deviations to each side; its sum is 1."""
    half = round(5 * KERNEL_SD_S / BIN_S)
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) * BIN_S / KERNEL_SD_S) ** 2)
    kernel[half] *= HOLLOW_FRACTION
    return np.asarray(kernel / kernel.sum())


def score(
    counts: NDArray[np.integer], mu: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ``-log p`` of the rarer of peak and trough, and 1 for a peak, -1 for a trough."""
    mu = np.maximum(mu, 1e-12)
    largest, smallest = counts.max(axis=1), counts.min(axis=1)
    peak = np.logaddexp(poisson.logsf(largest, mu), poisson.logpmf(largest, mu) - np.log(2))
    trough = np.logaddexp(
        poisson.logcdf(smallest - 1, mu), poisson.logpmf(smallest, mu) - np.log(2)
    )
    return -np.minimum(peak, trough), np.where(peak <= trough, 1.0, -1.0)


def _both_sides(counts: NDArray[np.int32], source: int) -> NDArray[np.int32]:
    """Return the correlograms of one source with all targets, from the longest negative lag on."""
    return np.concatenate([counts[:, source, :0:-1], counts[source]], axis=1)
