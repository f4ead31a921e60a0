"""The fluorescence of a culture as a camera sees it: saturating, noisy, blurred by scattering."""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.spatial.distance import cdist

from connflow.blocks import TIME_BLOCK, split
from connflow.noise import NormalStreams
from connflow.recording.culture.params import CultureParams
from connflow.recording.culture.spiking import simulate_culture_spikes
from connflow.recording.model import FluorescenceRecording, SpikeRecording


def simulate_culture(params: CultureParams) -> FluorescenceRecording:
    """Draw a culture, run it, and return what a camera sees of it.

    Parameters
    ----------
    params : CultureParams
        See there.

    Returns
    -------
    FluorescenceRecording
        As `culture_fluorescence` makes it from `simulate_culture_spikes`.

    Examples
    --------
    >>> recording = simulate_culture(CultureParams(n_units=50, duration_s=2.0))
    >>> recording.fluorescence.shape
    (100, 50)
    """
    return culture_fluorescence(simulate_culture_spikes(params), params)


def culture_fluorescence(spikes: SpikeRecording, params: CultureParams) -> FluorescenceRecording:
    """Return the fluorescence of a culture's spikes.

    Parameters
    ----------
    spikes : SpikeRecording
        With the columns `x_mm` and `y_mm` in its unit table.
    params : CultureParams
        Camera, calcium, noise and scattering.

    Returns
    -------
    FluorescenceRecording
        Same units and weights; the first frame covers the first ``1 / frame_rate_hz`` seconds.

    Notes
    -----
    With spike counts ``s``, ``gamma = exp(-1 / (frame_rate_hz tau_calcium_s))``, distances ``d``
    in mm and unit normal ``n``::

        c[k] = gamma c[k-1] + calcium_per_spike_um s[k]
        f[k] = c[k] / (c[k] + half_saturation_um) + noise_sd n[k]
        F_i[k] = f_i[k] + scattering sum_{j != i} f_j[k] exp(-(d_ij / scattering_length_mm)^2)

    References
    ----------
    Stetter et al. 2012, PLoS Comput Biol 8:e1002653, eqs. 1 to 3.
    """
    mixing = _mixing(spikes.units[["x_mm", "y_mm"]].to_numpy(), params)
    gamma = np.exp(-1 / (params.frame_rate_hz * params.tau_calcium_s))
    noise = NormalStreams(params.seed, 2, range(spikes.n_units), params.noise_sd)
    n_frames = round(spikes.duration_s * params.frame_rate_hz)
    result = np.empty((n_frames, spikes.n_units), np.float32)
    state = np.zeros((1, spikes.n_units))
    for block in split(n_frames, TIME_BLOCK):
        counts = _count(spikes, block, params.frame_rate_hz)
        calcium, state = lfilter(
            [params.calcium_per_spike_um], [1, -gamma], counts, axis=0, zi=state
        )
        clean = calcium / (calcium + params.half_saturation_um)
        result[block] = (clean + noise.draw(block).T).astype(np.float32) @ mixing
    return FluorescenceRecording(
        fluorescence=result,
        frame_rate_hz=params.frame_rate_hz,
        units=spikes.units,
        t_start=spikes.t_start,
        weights=spikes.weights,
    )


def _mixing(places: NDArray[np.float64], params: CultureParams) -> NDArray[np.float32]:
    """Return how much of each unit's light (rows) is seen at every unit (columns)."""
    nearness = np.exp(-((cdist(places, places) / params.scattering_length_mm) ** 2))
    mixing = params.scattering * nearness
    np.fill_diagonal(mixing, 1)
    return np.asarray(mixing, np.float32)


def _count(spikes: SpikeRecording, block: slice, frame_rate_hz: float) -> NDArray[np.float64]:
    """Count the spikes of each unit in some frames, shape (n_frames, n_units)."""
    position = (spikes.spike_times - spikes.t_start) * frame_rate_hz + 1e-6
    first, last = np.searchsorted(position, (block.start, block.stop))
    frames = position[first:last].astype(np.int64) - block.start
    cells = frames * spikes.n_units + spikes.spike_units[first:last]
    n_cells = (block.stop - block.start) * spikes.n_units
    return np.bincount(cells, minlength=n_cells).astype(np.float64).reshape(-1, spikes.n_units)
