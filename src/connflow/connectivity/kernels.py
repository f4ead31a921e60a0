"""The kernel of delays that sources act through: asked for, or learned from held-out time.

What one spike does to a target rises after the synaptic delay and dies away with the membrane's
memory. The closer the kernel of the regression is to that course, the surer each influence is
told from noise. The course is taken to be the same for all pairs, up to size and sign, so that the
data of all pairs go into it. A second, *control* kernel stands for what lies further back; it is
fitted and not reported, so that slow common input is not taken for influence.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from connflow.blocks import MapBlocks
from connflow.connectivity.activity import Activity, SpikeTrains, check_length, split_time
from connflow.connectivity.least_squares import solve
from connflow.connectivity.moments import Kernel, Moments, accumulate_moments, mixed
from connflow.connectivity.params import ConnectivityParams
from connflow.errors import InvalidInputError

MEMORY = 4.0
"""The control kernel ends at so many times the longest delay, the learned one at half of that."""

_RESOLUTION = 100  # heights of a learned kernel are whole numbers up to this
_MOST_UNITS = 150  # that a kernel is learned from
_MOST_EVENTS = 600_000  # spikes, or samples, that a kernel is learned from
_ROUNDS = 3
_SURE_Z = 3.0  # |z| of the pairs that a kernel is learned from
_FEWEST_PAIRS = 10
_PRIOR_SD = 0.5  # of heights around those that are taken for granted, as a share of the highest
_DECAY_S = 0.01


@dataclass(frozen=True, eq=False)
class Kernels:
    """The kernel that is tested and the one that is controlled for.

    Parameters
    ----------
    heights : (n_delays, n_kernels) int64
        What one unit of activity adds to a feature 0, 1, ... samples later; 0 at 0. The first
        column is tested, the second, if there is one, controlled for.
    notes : dict
        How they were chosen.
    """

    heights: NDArray[np.int64]
    notes: dict[str, object] = field(default_factory=dict)


def choose_kernels(
    activity: Activity, params: ConnectivityParams, map_blocks: MapBlocks
) -> Kernels:
    """Return the kernels asked for, or those learned from the activity; see `learn_kernel`."""
    interval_s = activity.interval_s
    if params.kernel_start_s is not None or params.kernel_stop_s is not None:
        window, control = flat_kernels(params, interval_s)
        check_length(activity, control[1], 2)
        return Kernels(_heights([window], np.ones(1), control), {"kernel": "asked for"})
    windows = delay_windows(params, interval_s)
    start, end = _memory(params, interval_s)
    control = max(start, windows[0][1] + 1), max(end, windows[-1][1] + 1)
    check_length(activity, control[1], 2)
    edges_s = [[first * interval_s, last * interval_s] for first, last in windows]
    notes: dict[str, object] = {"kernel_windows_s": edges_s}
    if params.kernel_heights is not None:
        notes |= {"kernel": "given", "kernel_heights": list(params.kernel_heights)}
        return Kernels(_heights(windows, _checked_heights(params, windows), control), notes)
    learned, gain = learn_kernel(activity, windows, control, params, map_blocks)
    notes |= {
        "kernel": "learned from held-out time",
        "kernel_heights": learned.tolist(),
        "kernel_held_out_gain_nats": gain,
    }
    return Kernels(_heights(windows, learned, control), notes)


def flat_kernels(params: ConnectivityParams, interval_s: float) -> tuple[Kernel, Kernel]:
    """Return the window asked for, else that of synaptic delays, and the control behind it."""
    start_s = params.kernel_start_s or params.delay_min_s
    stop_s = params.kernel_stop_s or max(start_s, params.delay_max_s)
    window = to_samples(start_s, stop_s, interval_s)
    _, end = _memory(params, interval_s)
    return window, (window[1] + 1, max(end, window[1] + 1))


def _memory(params: ConnectivityParams, interval_s: float) -> Kernel:
    return to_samples(params.delay_max_s, MEMORY * params.delay_max_s, interval_s)


def _checked_heights(params: ConnectivityParams, windows: list[Kernel]) -> NDArray[np.float64]:
    heights = np.asarray(params.kernel_heights, np.float64)
    if len(heights) != len(windows) or not np.any(heights):
        raise InvalidInputError(
            f"connectivity.kernel_heights has {len(heights)} heights, and there are "
            f"{len(windows)} windows of delays at this resolution; give one for each, not all 0"
        )
    return np.asarray(heights / np.abs(heights).max())


def to_samples(start_s: float, stop_s: float, interval_s: float) -> Kernel:
    """Return a window in samples; at least one, and none before the sample after the source's."""
    first = max(1, round(start_s / interval_s))
    return first, max(first, round(stop_s / interval_s))


def delay_windows(params: ConnectivityParams, interval_s: float) -> list[Kernel]:
    """Return adjoining windows of delays, in samples, narrow at first and wider later.

    They reach from the shortest delay to twice the longest one: influence lasts longer than it
    takes to arrive.
    """
    first, last = to_samples(params.delay_min_s, MEMORY / 2 * params.delay_max_s, interval_s)
    narrow = params.delay_max_s / 20
    windows = []
    while first <= last:
        delay_s = first * interval_s
        width_s = max(narrow, (delay_s - params.delay_min_s) / 3)
        stop = min(last, max(first, round((delay_s + width_s) / interval_s) - 1))
        windows.append((first, stop))
        first = stop + 1
    return windows


def learn_kernel(
    activity: Activity,
    windows: list[Kernel],
    control: Kernel,
    params: ConnectivityParams,
    map_blocks: MapBlocks,
) -> tuple[NDArray[np.float64], float]:
    """Learn the common course of influence over delays.

    Parameters
    ----------
    activity : SpikeTrains or Traces
    windows
        Windows of delays; the kernel has one height in each.
    control
        The window that is controlled for.
    params : ConnectivityParams
        Its ridge and seed.
    map_blocks
        Who computes the blocks of units.

    Returns
    -------
    heights : (n_windows,) float64
        The highest is 1.
    gain : float
        Log likelihood of held-out time above that of the flat kernel, nats (Gaussian).

    Notes
    -----
    The model is ``y_i[t] = sum_j w_ji sum_f h_f phi_jf[t] + control + noise`` with ``phi_jf`` the
    activity of unit j summed over window f. Weights w are estimated in one half of the time for
    the heights h of now, those with ``|z| < 3`` set to 0; then the heights that give the other half
    the greatest likelihood have a closed form, least squares weighted by ``1 / sigma_i^2``. The
    halves change places and the two results are averaged, three times over. Few data are helped by
    a prior around an exponential decay of 10 ms.
    """
    if len(windows) == 1:
        return np.ones(1), 0.0
    halves = [
        accumulate_moments(
            half, [*windows, control], with_gram=True, map_blocks=map_blocks
        ).centred()
        for half in _halves(activity, params.seed)
    ]
    turns = [(halves[0], halves[1]), (halves[1], halves[0])]
    delays_s = np.array([first for first, _ in windows]) * activity.interval_s
    prior = np.exp(-(delays_s - delays_s[0]) / _DECAY_S)
    heights = prior
    for _ in range(_ROUNDS):
        found = [
            _likeliest_heights(_fit(one, heights, params.ridge), other, prior)
            for one, other in turns
        ]
        heights = np.mean(found, axis=0)
    gain = sum(
        _held_out(_fit(one, heights, params.ridge), other)
        - _held_out(_fit(one, np.ones(len(windows)), params.ridge), other)
        for one, other in turns
    )
    return heights, float(gain)


@dataclass(frozen=True, eq=False)
class _Fit:
    """Weights under some heights, (n_kernels, n_units, n_units) in the units of windows.

    `tested` holds those of the learned kernel, 0 where they are not sure; `rest` what else the
    prediction has: unsure ones are left out, a unit's own and the control stay in.
    """

    tested: NDArray[np.float64]
    whole: NDArray[np.float64]
    rest: NDArray[np.float64]
    variance: NDArray[np.float64]


def _fit(moments: Moments, heights: NDArray[np.float64], ridge: float) -> _Fit:
    """Regress on the kernel of these heights and on the control."""
    mix = np.zeros((2, len(heights) + 1))
    mix[0, :-1], mix[1, -1] = heights, 1
    solution = solve(mixed(moments, mix), ridge)
    b, variance = solution.b, solution.sigma**2
    tested = b[0] * _is_sure(solution.z(0))
    rest = np.einsum("kf,kij->fij", mix, np.stack([np.diag(np.diag(b[0])), b[1]]))
    whole = np.einsum("kf,kij->fij", mix, b)
    return _Fit(tested, whole, rest, variance)


def _is_sure(z: NDArray[np.float64]) -> NDArray[np.bool_]:
    strength = np.abs(z) * ~np.eye(len(z), dtype=bool)
    enough = np.sort(strength, axis=None)[-min(_FEWEST_PAIRS, strength.size)]
    return np.asarray((strength >= min(_SURE_Z, enough)) & (strength > 0))


def _likeliest_heights(
    weights: _Fit, held_out: Moments, prior: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the heights under which the weights predict held-out time best, the highest 1."""
    assert held_out.gram is not None
    n_kernels, n_units, _ = held_out.cross.shape
    n_heights, w = n_kernels - 1, weights.tested / weights.variance
    gram = held_out.gram.reshape(n_kernels, n_units, n_kernels, n_units)
    y = np.tensordot(held_out.cross, w, axes=2) - np.einsum(
        "fjgk,gjk->f", gram, w @ weights.rest.transpose(0, 2, 1), optimize=True
    )
    a = np.einsum("fjgk,jk->fg", gram, w @ weights.tested.T, optimize=True)
    y, a = y[:n_heights], a[:n_heights, :n_heights]
    scale = (prior @ y) / (prior @ a @ prior)
    if not scale > 0:
        return prior
    precision = 1 / (_PRIOR_SD * scale) ** 2
    heights = np.linalg.solve(a + precision * np.eye(n_heights), y + precision * scale * prior)
    return np.asarray(heights / np.abs(heights).max())


def _held_out(weights: _Fit, held_out: Moments) -> float:
    """Return the Gaussian log likelihood of held-out time, up to a constant."""
    assert held_out.gram is not None
    n_kernels, n_units, _ = held_out.cross.shape
    b = weights.whole.reshape(n_kernels * n_units, n_units)
    cross = held_out.cross.reshape(b.shape)
    missed = held_out.target_square - np.einsum("fj,fj->j", b, 2 * cross - held_out.gram @ b)
    told = np.isfinite(weights.variance)  # not of units that are silent in the other half
    variance = weights.variance[told]
    return float(-0.5 * np.sum(held_out.n_bins * np.log(variance) + missed[told] / variance))


def _halves(activity: Activity, seed: int) -> list[Activity]:
    """Return two stretches of time, of not too many units and not too long."""
    chosen = activity
    if activity.n_units > _MOST_UNITS:
        rng = np.random.default_rng(seed)
        units = np.sort(rng.choice(activity.n_units, _MOST_UNITS, replace=False))
        chosen = activity.select(units)
    n_events = len(chosen.ticks) if isinstance(chosen, SpikeTrains) else chosen.n_samples
    n_parts = 2 * max(1, -(-n_events // _MOST_EVENTS))
    parts = split_time(chosen, n_parts)
    return [chosen.within(parts[0]), chosen.within(parts[n_parts // 2])]


def _heights(
    windows: list[Kernel], heights: NDArray[np.float64], control: Kernel
) -> NDArray[np.int64]:
    """Return the kernels as whole numbers at each delay."""
    profile = np.zeros((control[1] + 1, 2), np.int64)
    for (first, last), height in zip(windows, heights, strict=True):
        profile[first : last + 1, 0] = round(_RESOLUTION * height)
    profile[control[0] : control[1] + 1, 1] = 1
    return profile
