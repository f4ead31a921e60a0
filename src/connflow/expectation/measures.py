"""What is measured of a recording, so that simulated networks can be made like it."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from connflow.blocks import TimeUnitArray
from connflow.decay import estimate_decay
from connflow.recording.model import SpikeRecording

_BINS_S = (0.05, 0.5)  # in which units' counts are compared for what they share
_TAUS_S = np.geomspace(0.05, 20.0, 200)
_SURE = 2.0  # standard errors that what is shared must exceed
_MOST_FRAMES = 16_384
_USUAL_TAU_S = 0.5  # where the fluorescence does not tell its decay


@dataclass(frozen=True)
class Measures:
    """A recording in a few numbers.

    Parameters
    ----------
    n_units : int
        Units that are active.
    duration_s : float
    rate_hz : float
        Mean rate of the active units.
    rate_log_sd : float
        Standard deviation of the logarithm of their rates.
    shared_sd : float
        Standard deviation of the modulation that units share, as a share of their rates.
    shared_tau_s : float
        Its correlation time.
    frame_rate_hz, tau_s, noise_sd : float, optional
        Of fluorescence: frames a second, decay time, and noise over the size of one spike's
        transient.
    """

    n_units: int
    duration_s: float
    rate_hz: float
    rate_log_sd: float
    shared_sd: float = 0.0
    shared_tau_s: float = 0.1
    frame_rate_hz: float | None = None
    tau_s: float | None = None
    noise_sd: float | None = None


def measure_spikes(recording: SpikeRecording) -> Measures:
    """Measure spike trains."""
    counts = np.bincount(recording.spike_units, minlength=recording.n_units)
    duration_s = float(np.diff(recording.intervals).sum())
    rates = counts[counts > 0] / duration_s
    shared_sd, shared_tau_s = measure_shared(recording)
    return Measures(
        n_units=len(rates),
        duration_s=duration_s,
        rate_hz=float(rates.mean()) if len(rates) else 0.0,
        rate_log_sd=float(np.log(rates).std()) if len(rates) else 0.0,
        shared_sd=shared_sd,
        shared_tau_s=shared_tau_s,
    )


def measure_shared(recording: SpikeRecording) -> tuple[float, float]:
    """Return standard deviation and correlation time, s, of what the units' rates share.

    Notes
    -----
    A modulation of all rates by ``1 + x(t)``, x an Ornstein-Uhlenbeck process of variance s^2 and
    correlation time tau, makes the mean covariance of two units' counts in bins of width b, over
    the product of their means, ``s^2 g(b / tau)`` with ``g(y) = 2 (y - 1 + exp(-y)) / y^2``. The
    ratio of two widths gives tau, and then s. 0 where the covariance in the narrow bins is less
    than two standard errors.
    """
    (narrow, error), (wide, _) = (_shared_variance(recording, width) for width in _BINS_S)
    if narrow < _SURE * error or narrow <= 0:
        return 0.0, 0.1
    kept = [_kept_variance(width / _TAUS_S) for width in _BINS_S]
    best = int(np.argmin(np.abs(kept[1] / kept[0] - wide / narrow)))
    return math.sqrt(narrow / kept[0][best]), float(_TAUS_S[best])


def _kept_variance(y: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(2 * (y - 1 + np.exp(-y)) / y**2)


def _shared_variance(recording: SpikeRecording, width_s: float) -> tuple[float, float]:
    """Return the mean covariance of two units over the product of their means, and its error."""
    bins, n_bins = _bins_of(recording, width_s)
    units, n_units = recording.spike_units[bins >= 0], recording.n_units
    bins = bins[bins >= 0]
    if n_bins < 2 or len(bins) == 0:
        return 0.0, 0.0
    mean = np.bincount(units, minlength=n_units) / n_bins
    _, counts = np.unique(units * np.int64(n_bins) + bins, return_counts=True)
    own = float((counts**2).sum()) / n_bins - float((mean**2).sum())
    everyone = float(np.bincount(bins, minlength=n_bins).var())
    scale = float(mean.sum() ** 2 - (mean**2).sum())
    if scale <= 0:
        return 0.0, 0.0
    return (everyone - own) / scale, math.sqrt(2 / n_bins) * own / scale


def _bins_of(recording: SpikeRecording, width_s: float) -> tuple[NDArray[np.int64], int]:
    """Return each spike's bin, -1 in the rest of a stretch that no bin fits in; and how many."""
    starts, stops = recording.intervals.T
    n_bins = ((stops - starts) / width_s).astype(np.int64)
    home = np.searchsorted(starts, recording.spike_times, side="right") - 1
    inside = ((recording.spike_times - starts[home]) / width_s).astype(np.int64)
    before = np.concatenate(([0], np.cumsum(n_bins)))[:-1]
    return np.where(inside < n_bins[home], before[home] + inside, -1), int(n_bins.sum())


def measure_fluorescence(fluorescence: TimeUnitArray, frame_rate_hz: float) -> Measures:
    """Measure fluorescence: its noise against one spike's transient, and the rate of spikes.

    Parameters
    ----------
    fluorescence : (n_frames, n_units) array-like
        At most 16384 frames, from the start on, are looked at.
    frame_rate_hz : float

    Notes
    -----
    First-order calcium with transients of size A, Poisson spikes of l a frame, and white noise of
    standard deviation s has the innovations ``e[k] = F[k] - g F[k-1]``, ``g = exp(-dt/tau)``, with
    ``cov(e[k], e[k-1]) = -g s^2``, variance ``A^2 l + (1 + g^2) s^2`` and third central moment
    ``A^3 l``: the noise is symmetric. So with ``v = variance - (1 + g^2) s^2``, ``A = third / v``
    and ``l = v / A^2``. Medians over units; those whose third moment is not positive, which show no
    transients, are left out.
    """
    n_frames, n_units = fluorescence.shape
    taus_s = estimate_decay(fluorescence, frame_rate_hz)
    tau_s = float(np.nanmedian(taus_s)) if np.isfinite(taus_s).any() else _USUAL_TAU_S
    part = np.asarray(fluorescence[: min(n_frames, _MOST_FRAMES)], np.float64)
    decay = math.exp(-1 / (frame_rate_hz * tau_s))
    noise_sd, spikes = _shot_noise(part[1:] - decay * part[:-1], decay)
    known = np.isfinite(spikes)
    rates = spikes[known] * frame_rate_hz
    return Measures(
        n_units=n_units,
        duration_s=n_frames / frame_rate_hz,
        rate_hz=float(np.median(rates)) if known.any() else 0.0,
        rate_log_sd=float(np.log(rates).std()) if known.any() else 0.0,
        frame_rate_hz=frame_rate_hz,
        tau_s=tau_s,
        noise_sd=float(np.median(noise_sd[known])) if known.any() else 0.0,
    )


def _shot_noise(
    innovations: NDArray[np.float64], decay: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return for each unit the noise over a transient, and spikes a frame; NaN where none show."""
    centred = innovations - innovations.mean(axis=0)
    noise_variance = np.maximum(0, -(centred[1:] * centred[:-1]).mean(axis=0) / decay)
    variance = (centred**2).mean(axis=0) - (1 + decay**2) * noise_variance
    third = (centred**3).mean(axis=0)
    shown = (variance > 0) & (third > 0)
    size = np.where(shown, third, np.nan) / np.where(shown, variance, np.nan)
    return np.sqrt(noise_variance) / size, variance / size**2
