"""Generalised transfer entropy: what a source tells of a target's next step, outside of bursts."""

from functools import partial

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from connflow.blocks import UNIT_BLOCK, MapBlocks, split
from connflow.connectivity.activity import Activity, Traces, check_length
from connflow.connectivity.estimate import Estimate
from connflow.connectivity.params import ConnectivityParams
from connflow.progress import track

N_BINS = 3
"""Of a step of fluorescence: none or down, a doubtful rise, a rise."""

_EDGES_SD = (1.5, 3.0)  # standard deviations of the noise
_TARGET_STATES, _SOURCE_STATES = N_BINS**3, N_BINS**2
_PAST = 3  # frames that a step and its two forerunners take back


def infer_by_generalised_transfer_entropy(
    activity: Activity, params: ConnectivityParams, map_blocks: MapBlocks
) -> Estimate:
    """Measure the generalised transfer entropy of every ordered pair.

    Parameters
    ----------
    activity : Traces
        Fluorescence, transients upwards.

    Notes
    -----
    With the steps ``x[t] = F[t] - F[t-1]`` of the target and y of the source, in 3 bins::

        TE = sum P(x[t], x[t-1], x[t-2], y[t], y[t-1])
             log2(P(x[t] | x[t-1], x[t-2], y[t], y[t-1]) / P(x[t] | x[t-1], x[t-2]))

    over the frames t in which the mean fluorescence of all units lies below the conditioning
    level of `conditioning_level`, so that bursts are left out. ``y[t]`` belongs to the source's
    past (instant feedback), as synapses are faster than frames. Markov order 2 on both sides.

    Counts instead of probabilities make TE too large. Without influence ``2 ln(2) n TE`` is chi
    squared with as many degrees of freedom as there are free cells, ``sum over past states of
    (next states - 1)(source states - 1)``, those that occur. The weight is TE less its
    expectation then, in bits (Panzeri and Treves 1996); z has the p-value of the cube root of
    Wilson and Hilferty, counted on both sides. Its sign, which TE does not have, is that of the
    covariance of ``x[t]`` with ``y[t] + y[t-1]``, the target's past given. Where states are rare
    z is a little too small.

    The paper's bins have equal widths; ours end at 1.5 and 3 standard deviations of the noise,
    so that spikes have a bin, and the level is chosen by a formula instead of by eye.

    References
    ----------
    Stetter O, Battaglia D, Soriano J, Geisel T (2012). Model-free reconstruction of excitatory
    neuronal connectivity from calcium imaging signals. PLoS Comput Biol 8:e1002653.
    Panzeri S, Treves A (1996). Network 7:87-107. Wilson EB, Hilferty MM (1931). PNAS 17:684-688.
    """
    assert isinstance(activity, Traces)
    check_length(activity, _PAST, 0)
    target_states, source_states, level = discretise(activity)
    blocks = split(activity.n_units, UNIT_BLOCK)
    compute = partial(_entropies_of, target_states, source_states)
    done = list(track(map_blocks(compute, blocks), len(blocks)))
    entropy, freedom, excess = (np.concatenate(part, axis=1) for part in zip(*done, strict=True))
    n_frames = target_states.shape[1]
    z = np.copysign(_z_of(2 * np.log(2) * n_frames * entropy, freedom), excess)
    weight = entropy - freedom / (2 * np.log(2) * max(n_frames, 1))
    notes = {
        "conditioning_level": level,
        "share_of_frames": n_frames / max(1, activity.n_samples),
    }
    return Estimate(weight, z, float("nan"), "bit", notes)


def _z_of(chi_squared: NDArray[np.float64], freedom: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the size of a normal deviate that is as rare, on both sides, as so large a chi²."""
    nu = np.maximum(freedom, 1)
    upper = (np.cbrt(chi_squared / nu) - 1 + 2 / (9 * nu)) / np.sqrt(2 / (9 * nu))
    rare = np.sqrt(np.maximum(upper, 0) ** 2 + 2 * np.log(2))  # the limit; the tail underflows
    size = np.where(upper > 8, rare, norm.isf(norm.sf(np.minimum(upper, 8)) / 2))
    return np.where(freedom > 0, size, 0)


def discretise(
    fluorescence: Traces,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], float]:
    """Return the states that every frame finds each unit in, and the conditioning level.

    Returns
    -------
    target_states : (n_units, n_chosen_frames) uint8
        ``9 x[t] + 3 x[t-1] + x[t-2]``.
    source_states : (n_units, n_chosen_frames) uint8
        ``3 y[t] + y[t-1]``.
    level : float
        Frames with a mean fluorescence below it were chosen.
    """
    stretches = [fluorescence.read(slice(int(a), int(b))) for a, b in fluorescence.segments]
    means = [np.asarray(frames.mean(axis=1), np.float64) for frames in stretches]
    level = conditioning_level(np.concatenate(means))
    longest = np.diff(max(stretches, key=len).astype(np.float32), axis=0)
    middle = np.median(longest, axis=0)
    noise = (middle - np.quantile(longest, 0.25, axis=0)) / 0.6745
    edges = [np.asarray(middle + sd * noise, np.float32) for sd in _EDGES_SD]
    targets, sources = [], []
    for frames, mean in zip(stretches, means, strict=True):
        steps = np.diff(frames.astype(np.float32), axis=0)
        x = np.asarray(sum(np.uint8(1) * (steps > edge) for edge in edges)).T
        quiet = mean[_PAST:] < level
        targets.append((9 * x[:, 2:] + 3 * x[:, 1:-1] + x[:, :-2])[:, quiet])
        sources.append((3 * x[:, 2:] + x[:, 1:-1])[:, quiet])
    return np.concatenate(targets, axis=1), np.concatenate(sources, axis=1), level


def conditioning_level(mean_fluorescence: NDArray[np.float64]) -> float:
    """Return the mean fluorescence above which the population bursts.

    Notes
    -----
    Above the most frequent value, where the histogram's peak of quiet frames is, by twice the
    distance that it extends below (to the lowest hundredth). Without bursts the values are nearly
    normal, and this is 4.7 standard deviations up: all frames are chosen.
    """
    low, high = np.quantile(mean_fluorescence, [0.01, 0.9])
    bins = np.linspace(low, high, 101) if high > low else np.array([low - 1, low + 1])
    counts, _ = np.histogram(mean_fluorescence, bins)
    smooth = np.convolve(counts, np.ones(9), mode="same")
    k = int(smooth.argmax())
    mode = float(bins[k : k + 2].mean())
    return mode + 2 * max(mode - float(low), float(high - low) * 0.1, 1e-12)


def _entropies_of(
    target_states: NDArray[np.uint8], source_states: NDArray[np.uint8], targets: slice
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    return _sweep(target_states[targets], source_states)


@numba.njit(cache=True, nogil=True)
def _sweep(
    target_states: NDArray[np.uint8], source_states: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return TE in bits, its degrees of freedom and the covariance, (n_sources, n_targets)."""
    n_targets, n_frames = target_states.shape
    shape = len(source_states), n_targets
    entropy, freedom, excess = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    counts = np.zeros((_TARGET_STATES, _SOURCE_STATES), np.int64)
    for j in range(n_targets):
        for i in range(len(source_states)):
            counts[:] = 0
            for t in range(n_frames):
                counts[target_states[j, t], source_states[i, t]] += 1
            entropy[i, j], freedom[i, j], excess[i, j] = _transfer_entropy(counts)
            entropy[i, j] /= max(n_frames, 1)
    return entropy, freedom, excess


@numba.njit(cache=True, nogil=True)
def _transfer_entropy(counts: NDArray[np.int64]) -> tuple[float, float, float]:
    entropy, freedom, excess = 0.0, 0.0, 0.0
    for past in range(N_BINS**2):
        table = counts[past :: N_BINS**2]  # (next state, source state)
        total, by_next, by_source = table.sum(), table.sum(axis=1), table.sum(axis=0)
        if total == 0:
            continue
        for a in range(N_BINS):
            for b in range(_SOURCE_STATES):
                expected = by_next[a] * by_source[b] / total
                excess += (table[a, b] - expected) * a * (b // N_BINS + b % N_BINS)
                if table[a, b] > 0:
                    entropy += table[a, b] * np.log2(table[a, b] / expected)
        freedom += ((by_next > 0).sum() - 1) * ((by_source > 0).sum() - 1)
    return entropy, freedom, excess
