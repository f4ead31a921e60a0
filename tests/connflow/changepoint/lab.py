"""Trials with known changepoints, and brute force over all ways to cut one."""

import itertools

import numpy as np
import pandas as pd

from connflow.trials.model import Trials, trial_table


def make_trials(values, bin_size_s=0.05, *, regions=None, **columns):
    units = pd.DataFrame(index=pd.RangeIndex(values.shape[2], name="unit"))
    if regions is not None:
        units["region"] = regions
    table = trial_table(len(values), **columns)
    return Trials(np.asarray(values, np.float64), bin_size_s, 0.0, units, table)


def draw_changepoints(rng, n_trials, n_bins, n_states, least=2):
    found = np.empty((n_trials, n_states - 1), np.int64)
    for trial in range(n_trials):
        while True:
            cuts = np.sort(rng.integers(1, n_bins, n_states - 1))
            if np.diff([0, *cuts, n_bins]).min() >= least:
                break
        found[trial] = cuts
    return found


def simulate(seed, n_trials=20, n_bins=30, n_units=12, n_states=3, spread=0.9, mean=0.4):
    """Return counts, changepoints (n_trials, n_states - 1) and rates (n_states, n_units)."""
    rng = np.random.default_rng(seed)
    rates = mean * np.exp(spread * rng.normal(size=(n_states, n_units)))
    cuts = draw_changepoints(rng, n_trials, n_bins, n_states)
    state = (cuts[:, None] <= np.arange(n_bins)[:, None]).sum(axis=2)
    return rng.poisson(rates[state]).astype(np.float64), cuts, rates


def enumerate_cuts(n_bins, n_states, least=1):
    """Yield every way to cut a trial, as its boundaries."""
    first = 0 if least == 0 else 1
    choices = (
        itertools.combinations_with_replacement(range(n_bins + 1), n_states - 1)
        if least == 0
        else itertools.combinations(range(first, n_bins), n_states - 1)
    )
    for cuts in choices:
        if min(np.diff([0, *cuts, n_bins])) >= least:
            yield cuts


def posterior_by_brute_force(log_weights, n_bins, n_states):
    """Return log evidence, boundaries and states from the log weight of each way to cut."""
    cuts, weights = list(log_weights), np.array(list(log_weights.values()))
    evidence = np.logaddexp.reduce(weights)
    boundaries = np.zeros((n_states - 1, n_bins + 1))
    states = np.zeros((n_bins, n_states))
    for cut, p in zip(cuts, np.exp(weights - evidence), strict=True):
        for k, place in enumerate(cut):
            boundaries[k, place] += p
        edges = (0, *cut, n_bins)
        for k in range(n_states):
            states[edges[k] : edges[k + 1], k] += p
    return evidence, boundaries, states
