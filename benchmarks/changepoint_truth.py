"""Trials whose changepoints and rates are known, and what one who knows the rates can tell.

Changepoints come at any time, so that a bin may hold parts of two states.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Kind:
    """A kind of trials.

    Parameters
    ----------
    n_trials, n_bins, n_units, n_states : int
    mean : float
        Spikes a bin and unit.
    log_sd : float
        Of rates between states and units.
    jitter_bins : float, optional
        Standard deviation of changepoints around common times; anywhere if None.
    width_bins : float
        Of the sigmoid along which rates cross over; 0 for steps.
    """

    n_trials: int = 30
    n_bins: int = 40
    n_units: int = 20
    n_states: int = 4
    mean: float = 0.3
    log_sd: float = 0.55
    jitter_bins: float | None = None
    width_bins: float = 0.0


KINDS: dict[str, Kind] = {
    "hard": Kind(),
    "easy": Kind(log_sd=0.95),
    "narrow": Kind(mean=0.25, log_sd=0.45, jitter_bins=2.0),
    "gradual": Kind(log_sd=0.95, width_bins=1.5),
}

_LEAST_BINS = 2.0


@dataclass(frozen=True, eq=False)
class Truth:
    """Counts (n_trials, n_bins, n_units), changepoints (n_trials, n_states - 1) in bins, rates."""

    counts: Floats
    changepoints: Floats
    rates: Floats


def simulate(kind: Kind, seed: int) -> Truth:
    """Draw trials of a kind."""
    rng = np.random.default_rng([11, seed])
    spread = rng.normal(size=(kind.n_states, kind.n_units))
    rates = kind.mean * np.exp(kind.log_sd * spread - kind.log_sd**2 / 2)
    changepoints = np.stack([_draw_changepoints(kind, rng) for _ in range(kind.n_trials)])
    shares = _shares(kind, changepoints)
    return Truth(rng.poisson(shares @ rates).astype(np.float64), changepoints, rates)


def _draw_changepoints(kind: Kind, rng: np.random.Generator) -> Floats:
    while True:
        if kind.jitter_bins is None:
            times = np.sort(rng.uniform(0, kind.n_bins, kind.n_states - 1))
        else:
            even = np.arange(1, kind.n_states) * kind.n_bins / kind.n_states
            times = even + rng.normal(0, kind.jitter_bins, kind.n_states - 1)
        if np.diff([0, *times, kind.n_bins]).min() >= _LEAST_BINS:
            return times


def _shares(kind: Kind, changepoints: Floats) -> Floats:
    """Return the share of each state in each bin, (n_trials, n_bins, n_states)."""
    edges = np.arange(kind.n_bins + 1)
    behind = edges[:, None] - changepoints[:, None, :]
    if kind.width_bins > 0:  # the integral of the sigmoid over the bin
        passed = kind.width_bins * np.logaddexp(0, behind / kind.width_bins)
    else:
        passed = np.maximum(behind, 0)
    later = np.diff(passed, axis=1)
    ones, zeros = np.ones((*later.shape[:2], 1)), np.zeros((*later.shape[:2], 1))
    return np.concatenate([ones, later], axis=2) - np.concatenate([later, zeros], axis=2)


def foretell_with_true_rates(truth: Truth) -> Floats:
    """Return the mean changepoints, in bins, of one who knows the rates and nothing of the timing.

    Sums over all ways to cut a trial into steps, with at least one bin a state.
    """
    n_states = len(truth.rates)
    log_p = truth.counts @ np.log(truth.rates).T - truth.rates.sum(axis=1)
    return np.stack([_mean_boundaries(one, n_states) for one in log_p])


def _mean_boundaries(log_p: Floats, n_states: int) -> Floats:
    n_bins = len(log_p)
    total = np.vstack([np.zeros(n_states), np.cumsum(log_p, axis=0)])
    before = np.full((n_states, n_bins + 1), -np.inf)
    after = np.full((n_states, n_bins + 1), -np.inf)
    before[0, 1:] = total[1:, 0]
    after[-1, :-1] = total[-1, -1] - total[:-1, -1]
    for k in range(1, n_states):
        for t in range(k + 1, n_bins + 1):
            before[k, t] = np.logaddexp.reduce(before[k - 1, :t] + total[t, k] - total[:t, k])
    for k in range(n_states - 2, -1, -1):
        for s in range(n_bins - (n_states - 1 - k)):
            gained = total[s + 1 :, k] - total[s, k]
            after[k, s] = np.logaddexp.reduce(gained + after[k + 1, s + 1 :])
    joint = before[:-1] + after[1:]
    p = np.exp(joint - joint.max(axis=1, keepdims=True))
    return p @ np.arange(n_bins + 1) / p.sum(axis=1)


def guess(truth: Truth) -> Floats:
    """Return every trial's mean changepoints, the best guess that does not look at the trial."""
    return np.broadcast_to(truth.changepoints.mean(axis=0), truth.changepoints.shape)


def resized(kind: Kind, **sizes: int) -> Kind:
    """Return the same kind in another size."""
    return replace(kind, **sizes)  # type: ignore[arg-type]
