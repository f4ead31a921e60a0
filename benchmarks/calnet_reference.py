"""calnet's chain from spikes to weights, its formulas written plainly: whole arrays in memory.

All arrays are float64 of shape (time, unit). This is what the calnet chain of ours is measured
against; settings are those of its presets of the name `calnet`.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d
from scipy.signal import lfilter, savgol_filter
from sklearn.linear_model import LinearRegression

Array = NDArray[np.float64]

DT_S = 0.001
TAU_S = 0.1
INPUT_NOISE_SD = 0.01
NOISE_SD = 1.0
DROPPED = 100
WINDOW = 31
POLYORDER = 2
LAG = 10


def run_chain(
    spike_times: Array, spike_units: NDArray[np.int32], n_units: int, duration_s: float, seed: int
) -> Array:
    """Return the weights, (source, target), that the spikes' simulated fluorescence leads to."""
    counts = count_spikes(spike_times, spike_units, n_units, duration_s)
    fluorescence = simulate_fluorescence(counts, np.random.default_rng(seed))
    feed, _ = feed_signal(fluorescence, counts[DROPPED:])
    return regress(feed)


def count_spikes(
    spike_times: Array, spike_units: NDArray[np.int32], n_units: int, duration_s: float
) -> Array:
    """Count the spikes in bins of 1 ms."""
    counts = np.zeros((round(duration_s / DT_S), n_units))
    bins = np.floor(spike_times / DT_S + 1e-6).astype(int)
    np.add.at(counts, (bins, spike_units), 1)
    return counts


def simulate_fluorescence(counts: Array, rng: np.random.Generator) -> Array:
    """Run ``c[k] = gamma c[k-1] + s[k]`` and add noise before and after; drop the first frames."""
    gamma = np.exp(-DT_S / TAU_S)
    s = counts + rng.normal(0, INPUT_NOISE_SD, counts.shape)
    c = lfilter([1], [1, -gamma], s, axis=0)
    fluorescence: Array = c + rng.normal(0, NOISE_SD, c.shape)
    return fluorescence[DROPPED:]


def feed_signal(fluorescence: Array, counts: Array) -> tuple[Array, float]:
    """Return ``D - b S``, that is dC/dt + C/tau, and tau in seconds.

    Smooth S and slope D are the Savitzky-Golay ones of the fluorescence.
    """
    shared = {"axis": 0, "mode": "nearest"}  # the ends as ours, or they part short recordings
    smooth = savgol_filter(fluorescence, WINDOW, POLYORDER, **shared)
    slope = savgol_filter(fluorescence, WINDOW, POLYORDER, deriv=1, delta=DT_S, **shared)
    b = fit_decay(smooth, slope, counts)
    return slope - b * smooth, -1 / b


def fit_decay(smooth: Array, slope: Array, counts: Array) -> float:
    """Return b, the regression of D on S where no spike lies in the window."""
    quiet = maximum_filter1d(counts, WINDOW, axis=0, mode="nearest") == 0
    s, d = smooth[quiet], slope[quiet]
    s -= s.mean()
    return float(s @ d / (s @ s))


def regress(feed: Array) -> Array:
    """Regress feed[t + LAG] on feed[t], all targets at once."""
    model = LinearRegression().fit(feed[:-LAG], feed[LAG:])
    weights: Array = model.coef_.T
    return weights
