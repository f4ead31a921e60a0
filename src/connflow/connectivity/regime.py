"""The regime of a recording: which kind of method suits it, and why.

Bursts, noise and frame rate decide what can be inferred from calcium. They are measured here; the
flow turns the regime's name into a method.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from connflow.connectivity.activity import Activity, SpikeTrains, Traces
from connflow.decay import estimate_decay

RegimeName = Literal["spikes", "bursting", "slow", "clear", "noisy"]

BURST_SKEWNESS = 4.0
"""Skewness of the population's mean innovation from which on it fires in bursts."""

BURST_CORRELATION = 0.01
"""Mean correlation of two units' innovations, at least, when the population bursts."""

CLEAR_SKEWNESS = 0.6
"""Median skewness of innovations from which on spikes stand out of the noise."""

SLOW_INTERVAL_S = 0.004
"""Frame interval from which on most synapses act within the frame of the spike."""

_SAMPLE_FRAMES = 65_536


@dataclass(frozen=True)
class Regime:
    """What kind of recording this is.

    Parameters
    ----------
    name : str
        ``spikes``: spike times. ``bursting``: the population fires in bursts. Otherwise it fires
        asynchronously; ``slow``: frames are longer than synaptic delays; ``clear`` and ``noisy``:
        they are not, and spikes do or do not stand out of the noise.
    reason : str
        A sentence with the numbers behind it.
    measures : dict
        The numbers.
    """

    name: RegimeName
    reason: str
    measures: dict[str, float]


def measure_regime(activity: Activity) -> Regime:
    """Find out what kind of recording this is.

    Parameters
    ----------
    activity : SpikeTrains or Traces
        Traces hold fluorescence; up to 65536 frames of the longest segment are looked at.

    Returns
    -------
    Regime

    Notes
    -----
    From the innovations ``u[t] = F[t] - gamma F[t-1]``, gamma from the estimated decay, 1 if
    there is none: `correlation`, the mean over pairs of units of their correlation in bins of at
    least 20 ms, from the variance of the population's mean; `burst_skewness`, the skewness of
    that mean; `skewness`, the median over units of their own.

    The borders come from simulations. In 13 cases of asynchronous networks (300 to 1000 units,
    5 to 7 Hz, 50 Hz or 1 kHz, noise of .05 to 1 of a spike, common drive or none) the burst
    skewness is 1.4 at most; in 6 cases of cultures that burst (100 to 1000 units, noise of .2 to
    .4 of a spike) 8 to 19 at a correlation of .02 to .08; in one without bursts 0. A small
    population that fires rarely is skewed without bursts, but hardly correlated. Of asynchronous
    networks at 50 Hz and a noise of .05, .2, .4 and .8 of a spike, skewness is 2.2, 1.07, .33 and
    .06; at 1 kHz and .05 and 1, it is 5 and .00.
    """
    if isinstance(activity, SpikeTrains):
        rate_hz = (
            len(activity.ticks) / activity.n_units / (activity.n_samples * activity.interval_s)
        )
        reason = f"spikes: {activity.n_units} units with spike times, {rate_hz:.3g} Hz on average"
        return Regime("spikes", reason, {"rate_hz": rate_hz})
    measures = _measure(activity)
    name = _judge(measures)
    return Regime(name, _explain(name, measures), measures)


def _measure(traces: Traces) -> dict[str, float]:
    lengths = np.diff(traces.segments)[:, 0]
    start, stop = traces.segments[lengths.argmax()]
    frames = traces.read(slice(int(start), int(min(stop, start + _SAMPLE_FRAMES))))
    values = frames.astype(np.float32)
    tau_s = _median_decay(values, traces.interval_s)
    gamma = np.exp(-traces.interval_s / tau_s) if np.isfinite(tau_s) else 1.0
    innovations = values[1:] - np.float32(gamma) * values[:-1]
    together = _pool(innovations, max(1, round(0.02 / traces.interval_s)))
    mean = together.mean(axis=1, dtype=np.float64)
    n_units, own = traces.n_units, float(together.var(axis=0, dtype=np.float64).mean())
    share = float(mean.var()) / max(own, 1e-30)  # 1 / n_units if independent
    return {
        "correlation": (share - 1 / n_units) / (1 - 1 / n_units),
        "burst_skewness": float(_skewness(mean[:, None])[0]),
        "skewness": float(np.median(_skewness(innovations))),
        "tau_s": tau_s,
        "frame_interval_s": traces.interval_s,
    }


def _median_decay(frames: NDArray[np.float32], interval_s: float) -> float:
    taus = estimate_decay(frames, 1 / interval_s)
    return float(np.nanmedian(taus)) if np.isfinite(taus).any() else float("nan")


def _pool(values: NDArray[np.float32], n_frames: int) -> NDArray[np.float32]:
    """Return the sums over so many frames each."""
    n_bins = len(values) // n_frames
    binned = values[: n_bins * n_frames].reshape(n_bins, n_frames, -1)
    return np.asarray(binned.sum(axis=1))


def _skewness(values: NDArray[np.floating]) -> NDArray[np.float64]:
    deviation = values - values.mean(axis=0, dtype=np.float64)
    variance = np.maximum((deviation**2).mean(axis=0), 1e-30)
    return np.asarray((deviation**3).mean(axis=0) / variance**1.5)


def _judge(measures: dict[str, float]) -> RegimeName:
    skewed = measures["burst_skewness"] >= BURST_SKEWNESS
    if skewed and measures["correlation"] >= BURST_CORRELATION:
        return "bursting"
    if measures["frame_interval_s"] >= SLOW_INTERVAL_S:
        return "slow"
    return "clear" if measures["skewness"] >= CLEAR_SKEWNESS else "noisy"


def _explain(name: RegimeName, measures: dict[str, float]) -> str:
    correlation, skewness = measures["correlation"], measures["skewness"]
    if name == "bursting":
        return (
            f"bursting: the population's innovations are skewed by "
            f"{measures['burst_skewness']:.1f} (bursts: from {BURST_SKEWNESS:g} on), and those of "
            f"two units correlate by {correlation:.3f} on average (from {BURST_CORRELATION} on)"
        )
    apart = f"{name}: units fire asynchronously (mean correlation {correlation:.3f})"
    if name == "slow":
        interval_ms = 1000 * measures["frame_interval_s"]
        return f"{apart}, and a frame of {interval_ms:.3g} ms is longer than synaptic delays"
    stand = "stand out of" if name == "clear" else "drown in"
    return (
        f"{apart}, frames are short, and spikes {stand} the noise (skewness of innovations "
        f"{skewness:.2f}, border {CLEAR_SKEWNESS})"
    )
