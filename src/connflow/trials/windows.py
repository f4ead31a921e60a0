"""The window and the bins of trials that are there already."""

from dataclasses import replace

import numpy as np

from connflow.errors import InvalidInputError
from connflow.trials.model import Trials
from connflow.trials.params import TrialsParams

_TOLERANCE = 1e-6  # of a bin


def cut_window(trials: Trials, params: TrialsParams) -> Trials:
    """Return the bins between ``t_start`` and ``t_stop``, as far as trials go.

    Raises
    ------
    InvalidInputError
        If an edge lies outside the trials, or not between two bins.
    """
    end = trials.t_start + trials.n_time_bins * trials.bin_size_s
    first = 0 if params.t_start is None else _edge(trials, "t_start", params.t_start)
    last = trials.n_time_bins if params.t_stop is None else _edge(trials, "t_stop", params.t_stop)
    if not 0 <= first < last <= trials.n_time_bins:
        raise InvalidInputError(
            f"trials: the file's trials go from {trials.t_start:g} to {end:g} s; the window from "
            f"{params.t_start} to {params.t_stop} does not lie in it"
        )
    start = trials.t_start + first * trials.bin_size_s
    return replace(trials, values=trials.values[:, first:last], t_start=start)


def _edge(trials: Trials, name: str, value: float) -> int:
    exact = (value - trials.t_start) / trials.bin_size_s
    if abs(exact - round(exact)) > _TOLERANCE * max(1, abs(exact)):
        raise InvalidInputError(
            f"trials: {name}={value:g} s lies inside a bin; bins start at {trials.t_start:g} s and "
            f"are {trials.bin_size_s:g} s wide"
        )
    return round(exact)


def merge_bins(trials: Trials, params: TrialsParams) -> Trials:
    """Return trials whose bins have ``bin_size_s``, by adding up neighbours.

    A bin is NaN where one of its parts was not observed; what is left at the end is dropped.

    Raises
    ------
    InvalidInputError
        If it is no multiple of the bins that are there, or longer than the trials.
    """
    if params.bin_size_s is None:
        return trials
    exact = params.bin_size_s / trials.bin_size_s
    n_merged, n_bins = round(exact), trials.n_time_bins
    if n_merged < 1 or abs(exact - n_merged) > _TOLERANCE * exact or n_merged > n_bins:
        raise InvalidInputError(
            f"trials: bin_size_s is {params.bin_size_s:g}, but the file has {n_bins} bins of "
            f"{trials.bin_size_s:g} s; take a multiple of that"
        )
    kept = n_bins // n_merged * n_merged
    parts = trials.values[:, :kept].reshape(trials.n_trials, -1, n_merged, trials.n_units)
    return replace(trials, values=np.sum(parts, axis=2), bin_size_s=params.bin_size_s)
