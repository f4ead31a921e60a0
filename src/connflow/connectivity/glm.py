"""Poisson GLM: each unit's firing rate as the exponential of the recent activity of all units.

In: spike trains. Out: log rate ratios and their Wald z-scores. The likelihood and its gradient are
summed from change to change of the features, so that no array over time is ever made. After
Truccolo et al. 2005 and Pillow et al. 2008.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve, lapack

from connflow.blocks import UNIT_BLOCK, MapBlocks, split
from connflow.connectivity._glm_sums import sum_information, sum_rates
from connflow.connectivity.activity import Activity, SpikeTrains, as_spike_trains, check_length
from connflow.connectivity.estimate import Estimate
from connflow.connectivity.kernels import to_samples
from connflow.connectivity.moments import Kernel, Moments, accumulate_moments
from connflow.connectivity.params import ConnectivityParams
from connflow.errors import InvalidInputError
from connflow.progress import track

logger = logging.getLogger(__name__)

_PASSES_A_ROUND = 8
_MOST_ROUNDS = 10
_SMALL_GAIN = 1e-8  # log-likelihood still to be gained, nats, at which a target is done
_LEAST_RATIO = 0.1  # of rates, that the start may ask for
_LONGEST_STEP = 2.0  # of a coefficient at a time
_ROUNDING = 1e-10  # share of the objective
_INFORMATION_BYTES = 256e6


@dataclass(frozen=True, eq=False)
class Changes:
    """When the features change; time runs over the usable bins only, without gaps.

    Parameters
    ----------
    times : (2 n_spikes,) int64
        Ascending, bins.
    units : (2 n_spikes,) int32
        Whose feature changes.
    rises : (2 n_spikes,) bool
        Up by 1 (a spike enters the window), or down by 1. Spikes leave in the order they came in.
    n_bins : int
        Where time ends.
    """

    times: NDArray[np.int64]
    units: NDArray[np.int32]
    rises: NDArray[np.bool_]
    n_bins: int


@dataclass(frozen=True, eq=False)
class Problem:
    """What the fits of all targets share; the first feature is the constant.

    Parameters
    ----------
    changes : Changes
    gram : (1 + n_units, 1 + n_units) float64
        Sums over time of products of features, `penalty` included.
    multiplicity : (1 + n_units,) float64
        Sum of each feature's square over its sum.
    penalty : (1 + n_units,) float64
        Of each squared coefficient, at a rate of one spike a bin.
    cross : (1 + n_units, n_targets) float64
        Sums over time of products of features with the targets' spikes.
    start : (1 + n_units, n_targets) float64
        First guess of the coefficients.
    """

    changes: Changes
    gram: NDArray[np.float64]
    multiplicity: NDArray[np.float64]
    penalty: NDArray[np.float64]
    cross: NDArray[np.float64]
    start: NDArray[np.float64]


def infer_by_glm(activity: Activity, params: ConnectivityParams, map_blocks: MapBlocks) -> Estimate:
    """Fit each unit's rate to the recent spikes of all units, its own included.

    Parameters
    ----------
    activity : SpikeTrains, or Traces of spike counts
    params : ConnectivityParams
        The window of delays is `kernel_start_s` to `kernel_stop_s`, or else `delay_min_s` to
        `delay_max_s`; `ridge` is a share of what a feature would tell at a constant rate.
    map_blocks

    Returns
    -------
    Estimate
        ``weight``: by how much one spike of the source in the window raises the logarithm of the
        target's rate. No delay.

    Notes
    -----
    With x_j[t] the spikes of unit j in the window of delays before bin t, and y the target's::

        log mu[t] = b_0 + sum_j b_j x_j[t]
        maximise  sum_t (y[t] log mu[t] - mu[t]) - ridge mean(y) / 2 sum_j n_bins var(x_j) b_j^2

    by Newton's method from least squares, ``log(1 + b / mean(y))``; steps are halved until the
    objective rises. For the first eight steps the Hessian is that of a constant rate, the Gram
    matrix that all targets share, scaled to the present diagonal; targets that are not there yet
    go on with their own, renewed every eight steps. z is b over its standard error from the Fisher
    information at the maximum (Wald)::

        z_j = b_j / sqrt(inv(X' diag(mu) X + penalty)[j, j])

    It needs some ten coincidences or more where there is no influence: with fewer its tail is too
    long for peaks, and troughs hardly show.

    Rates change only where a spike enters or leaves the window: a pass costs
    ``4 n_spikes n_targets`` operations, whatever the bin. The information of all targets costs
    ``n_spikes n_units n_targets rate window``, and each is inverted; so with more than 300 units
    or so this method is slow, and kernel_regression, which solves all targets at once, is not.

    References
    ----------
    Truccolo W, Eden UT, Fellows MR, Donoghue JP, Brown EN (2005). A point process framework for
    relating neural spiking activity to spiking history, neural ensemble, and extrinsic covariate
    effects. Journal of Neurophysiology 93:1074-1089.
    Pillow JW, Shlens J, Paninski L, Sher A, Litke AM, Chichilnisky EJ, Simoncelli EP (2008).
    Spatio-temporal correlations and visual signalling in a complete neuronal population.
    Nature 454:995-999.
    """
    trains = as_spike_trains(activity)
    start_s = params.delay_min_s if params.kernel_start_s is None else params.kernel_start_s
    stop_s = params.delay_max_s if params.kernel_stop_s is None else params.kernel_stop_s
    kernel = to_samples(start_s, stop_s, trains.interval_s)
    check_length(trains, kernel[1], 1)
    moments = accumulate_moments(trains, [kernel], with_gram=True, map_blocks=map_blocks)
    problem = pose(find_changes(trains, kernel), moments, params.ridge)
    n_targets = int(min(UNIT_BLOCK, max(1, _INFORMATION_BYTES // problem.gram.nbytes)))
    blocks = split(trains.n_units, n_targets)
    fits = list(track(map_blocks(partial(fit, problem), blocks), len(blocks)))
    b, z, is_done = (np.concatenate(parts, axis=-1) for parts in zip(*fits, strict=True))
    notes: dict[str, object] = {"kernels": [list(kernel)], "not_converged": int((~is_done).sum())}
    if not is_done.all():
        logger.warning(
            "glm: %d of %d targets had not converged after %d rounds; their weights are rough. "
            "Raise connectivity.ridge, or leave out units with few spikes",
            (~is_done).sum(),
            len(is_done),
            _MOST_ROUNDS,
        )
    return Estimate(b[1:], z[1:], float("nan"), "log of the target's rate ratio", notes)


def find_changes(trains: SpikeTrains, kernel: Kernel) -> Changes:
    """List when each spike enters and leaves the window of delays, in segments joined together.

    A segment's first ``kernel[1]`` ticks, whose past is not whole, are left out.
    """
    first, last = kernel
    low = np.minimum(trains.segments[:, 0] + last, trains.segments[:, 1])
    lengths = trains.segments[:, 1] - low
    shift = np.cumsum(lengths) - lengths - low
    home = np.searchsorted(trains.segments[:, 0], trains.ticks, side="right") - 1
    enter = np.maximum(trains.ticks + first, low[home])
    leave = np.minimum(trains.ticks + last + 1, trains.segments[home, 1])
    seen = leave > enter
    times = np.concatenate([(leave + shift[home])[seen], (enter + shift[home])[seen]])
    order = np.argsort(times, kind="stable")
    rises = np.arange(len(times)) >= len(times) // 2
    units = np.tile(trains.units[seen], 2)
    return Changes(times[order], units[order], rises[order], int(lengths.sum()))


def pose(changes: Changes, moments: Moments, ridge: float) -> Problem:
    """Gather what the fits share, and guess the coefficients by least squares."""
    assert moments.gram is not None
    gram = _bordered(moments.gram, moments.feature_sum[0], moments.n_bins)
    cross = np.concatenate([moments.target_sum[None], moments.cross[0]])
    square, total = np.diag(gram), gram[0]
    if total.min() == 0 or moments.target_sum.min() == 0:
        raise InvalidInputError(
            "connectivity: glm needs spikes of every unit that bins before and after could relate "
            "to; some unit fires only at the very start or end; leave it out with "
            "recording.exclude_units"
        )
    penalty = ridge * (square - total**2 / moments.n_bins)
    penalised = gram + np.diag(penalty)
    ratio = 1 + cho_solve(_factor(penalised), cross)[1:] * moments.n_bins / moments.target_sum
    start = np.log(np.maximum(ratio, _LEAST_RATIO))
    constant = np.log(moments.target_sum / moments.n_bins)
    start = np.concatenate([(constant - total[1:] @ start / moments.n_bins)[None], start])
    return Problem(changes, penalised, square / total, penalty, cross, start)


def _bordered(
    gram: NDArray[np.float64], total: NDArray[np.float64], n_bins: int
) -> NDArray[np.float64]:
    """Return the Gram matrix with a constant feature in front."""
    return np.block([[np.array([[float(n_bins)]]), total[None]], [total[:, None], gram]])


def _factor(matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], bool]:
    try:
        factor, is_lower = cho_factor(matrix, lower=True)
    except LinAlgError as error:
        raise InvalidInputError(
            "connectivity: some units are copies or sums of others, so their influences cannot be "
            "told apart; leave the copies out, or raise connectivity.ridge"
        ) from error
    return factor, is_lower


def fit(
    problem: Problem, targets: slice
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Fit some targets.

    Returns
    -------
    b, z : (1 + n_units, n_targets) float64
        Coefficients, the constant first, and over their standard errors.
    is_done : (n_targets,) bool
        Whether the maximum was reached.
    """
    b, is_done = _climb(problem, targets)
    inverses = _invert_information(problem, b, np.arange(targets.start, targets.stop))
    errors = np.stack([np.sqrt(np.diag(inverse)) for inverse in inverses], axis=1)
    return b, b / errors, is_done


class _Point(NamedTuple):
    """Where the fits of some targets stand, and where they go from there; targets last."""

    b: NDArray[np.float64]
    loss: NDArray[np.float64]
    step: NDArray[np.float64]
    gain: NDArray[np.float64]


_Solver = Callable[
    [NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]], NDArray[np.float64]
]
"""From gradient, curvature (the Hessian's diagonal) and targets to Newton's step."""


def _climb(problem: Problem, targets: slice) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Fit some targets by Newton's method with halved steps; see `infer_by_glm`."""
    every = np.arange(targets.start, targets.stop)
    b = problem.start[:, targets].copy()
    solver: _Solver = partial(_solve_shared, problem, _factor(problem.gram))
    left = _descend(problem, solver, every, b)
    for _ in range(_MOST_ROUNDS):
        if not left.any():
            break
        inverses = _invert_information(problem, b[:, left], every[left])
        solver = partial(_solve_own, dict(zip(every[left].tolist(), inverses, strict=True)))
        some = b[:, left]
        still = _descend(problem, solver, every[left], some)
        b[:, left], left[left] = some, still
    return b, ~left


def _descend(
    problem: Problem, solver: _Solver, targets: NDArray[np.intp], b: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Improve coefficients in place by some passes; return which are not there yet."""
    left = np.arange(len(targets))
    here = _look(problem, solver, targets, b)
    for _ in range(_PASSES_A_ROUND):
        going = ~(here.gain < _SMALL_GAIN)
        left, here = left[going], _Point(*(values[..., going] for values in here))
        if len(left) == 0:
            break
        there = _look(problem, solver, targets[left], here.b - here.step)
        is_better = there.loss <= here.loss + _ROUNDING * np.abs(here.loss)
        here = here._replace(step=here.step / 2)
        here = _Point(*(np.where(is_better, *values) for values in zip(there, here, strict=True)))
        b[:, left] = here.b
    return np.isin(np.arange(len(targets)), left)


def _look(
    problem: Problem, solver: _Solver, targets: NDArray[np.intp], b: NDArray[np.float64]
) -> _Point:
    """Return the loss of coefficients, and the step from there towards the maximum."""
    changes, cross = problem.changes, problem.cross[:, targets]
    sums = sum_rates(changes.times, changes.units, changes.rises, changes.n_bins, b)
    penalty = problem.penalty[:, None] * cross[0] / changes.n_bins
    loss = sums[0] - (b * cross).sum(axis=0) + (penalty * b**2).sum(axis=0) / 2
    gradient = sums - cross + penalty * b
    step = solver(gradient, sums * problem.multiplicity[:, None] + penalty, targets)
    gain = (gradient * step).sum(axis=0) / 2
    return _Point(b, loss, step * np.minimum(1, _LONGEST_STEP / np.abs(step).max(axis=0)), gain)


def _solve_shared(
    problem: Problem,
    factor: tuple[NDArray[np.float64], bool],
    gradient: NDArray[np.float64],
    curvature: NDArray[np.float64],
    _targets: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Take the Hessian of a constant rate, scaled to the present diagonal."""
    scale = np.sqrt(curvature / np.diag(problem.gram)[:, None])
    return np.asarray(cho_solve(factor, gradient / scale) / scale)


def _solve_own(
    inverses: dict[int, NDArray[np.float64]],
    gradient: NDArray[np.float64],
    _curvature: NDArray[np.float64],
    targets: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Take the inverse of each target's own Hessian, as it was at the start of the round."""
    steps = [inverses[target] @ gradient[:, k] for k, target in enumerate(targets.tolist())]
    return np.stack(steps, axis=1)


def _invert_information(
    problem: Problem, b: NDArray[np.float64], targets: NDArray[np.intp]
) -> Iterator[NDArray[np.float64]]:
    """Yield each target's inverse Fisher information, penalty included."""
    changes = problem.changes
    most_held = max(1, int(np.cumsum(np.where(changes.rises, 1, -1)).max()))
    information = sum_information(
        changes.times, changes.units, changes.rises, changes.n_bins, most_held, b
    )
    for k, rate in enumerate(problem.cross[0, targets] / changes.n_bins):
        matrix = np.asfortranarray(information[:, :, k])
        matrix[np.diag_indices_from(matrix)] += problem.penalty * rate
        inverse, _ = lapack.dpotri(_factor(matrix)[0], lower=1)
        yield np.tril(inverse) + np.tril(inverse, -1).T
