"""What fluorescence of neurons makes of their rate and noise, and the way back.

In: `Measures` of fluorescence, which take spikes for Poisson. Out: the same with the rate and the
noise at which neurons show these measures. Neurons that fire fast fire regularly: the count of a
frame varies less than it would by chance, and the less after a spike. So a transient seems smaller
than it is, and rate and noise, over its size, larger.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from connflow.expectation.matching import (
    DRIVES_HZ,
    RATES_HZ,
    design_middle,
    halve_drives,
    on_grid,
    rate_of,
    simulate_short,
)
from connflow.expectation.measures import Measures
from connflow.expectation.params import ExpectationParams
from connflow.recording.model import SpikeRecording
from connflow.recording.network import NetworkParams, simulate_network

_LONGEST_S = 100.0  # that a network is watched for
_BELIEVABLE = (0.1, 3.0)  # true rate over the one that is shown, or the frames' if that is lower


@dataclass(frozen=True)
class Shown:
    """What `measure_fluorescence` makes of spikes, imaged without noise.

    Parameters
    ----------
    rate_hz : float
        Rate that is shown.
    size : float
        Size that a transient seems to have, over its true one.
    variance : float
        Variance of noise that is seen, over the square of a transient's true size.
    """

    rate_hz: float
    size: float
    variance: float


def allow_for_regularity(measures: Measures, params: ExpectationParams) -> Measures:
    """Return measures of fluorescence with the rate and the noise of neurons that show them.

    Parameters
    ----------
    measures : Measures
        Those of spikes are returned as they are.
    params : ExpectationParams
        What is assumed of the wiring; a network in its middle is looked at.

    Notes
    -----
    The rate a network shows rises with its drive, which is found by halving. With the size B, over
    the true one, and the variance V of the feigned noise that this network shows, a noise q that
    was measured comes from one of ``sqrt(q^2 B^2 - V)``.
    """
    if measures.frame_rate_hz is None or not measures.rate_hz > 0:
        return measures
    middle = design_middle(measures, params)
    network = halve_drives(middle, DRIVES_HZ, lambda driven: _shows_less(driven, measures))
    recording = _watch(network, measures)
    shown = show(recording, measures)
    noise = math.sqrt(max(0.0, ((measures.noise_sd or 0.0) * shown.size) ** 2 - shown.variance))
    return replace(measures, rate_hz=rate_of(recording), noise_sd=noise)


def _shows_less(network: NetworkParams, measures: Measures) -> bool:
    assert measures.frame_rate_hz
    least = _BELIEVABLE[0] * min(measures.rate_hz, measures.frame_rate_hz)
    most = min(_BELIEVABLE[1] * measures.rate_hz, RATES_HZ[1])
    short_hz = rate_of(simulate_short(network, measures.rate_hz))
    if not least < short_hz < most:
        return short_hz <= least
    return show(_watch(network, measures), measures).rate_hz < measures.rate_hz


def _watch(network: NetworkParams, measures: Measures) -> SpikeRecording:
    duration_s = on_grid(min(measures.duration_s, _LONGEST_S))
    watched = {"duration_s": duration_s, "observed_fraction": 1.0}
    return simulate_network(network.model_copy(update=watched))


def show(recording: SpikeRecording, measures: Measures) -> Shown:
    """Return what fluorescence shows of these spikes, at the frames and the decay measured.

    Notes
    -----
    Without noise the innovations of `measure_fluorescence` are the counts of the frames, in sizes
    of a transient. Medians over units; infinite rate where most of them show no transients.
    """
    assert measures.frame_rate_hz
    assert measures.tau_s
    decay = math.exp(-1 / (measures.frame_rate_hz * measures.tau_s))
    n_frames, n_units = int(recording.duration_s * measures.frame_rate_hz), recording.n_units
    frames = ((recording.spike_times - recording.t_start) * measures.frame_rate_hz).astype(np.int64)
    inside = frames < n_frames
    places = frames[inside] * n_units + recording.spike_units[inside]
    counts = np.bincount(places, minlength=n_frames * n_units).reshape(n_frames, n_units)
    counts = counts[:, counts.any(axis=0)]
    if not counts.size:
        return Shown(0.0, 1.0, 0.0)
    centred = counts - counts.mean(axis=0)
    feigned = -(centred[1:] * centred[:-1]).mean(axis=0) / decay
    variance = (centred**2).mean(axis=0) - (1 + decay**2) * feigned
    third = (centred**3).mean(axis=0)
    shown = (variance > 0) & (third > 0)
    rate = np.full(len(shown), np.inf)
    rate[shown] = variance[shown] ** 3 / third[shown] ** 2 * measures.frame_rate_hz
    size = float(np.median(third[shown] / variance[shown])) if shown.any() else 0.0
    return Shown(float(np.median(rate)), size, float(np.median(feigned)))
