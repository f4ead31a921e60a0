"""Fits beside one another: which model is the more probable, and who changes first."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import softmax

from connflow.errors import InvalidInputError

_ALIKE = ({"poisson", "negative_binomial"},)
"""Emissions whose likelihoods are of the same events; a categorical one is of others."""


def compare_evidence(fits: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """Return how probable each of several models of the same trials is.

    Parameters
    ----------
    fits
        Datasets of `fit_changepoints`, by a name.

    Returns
    -------
    DataFrame
        ``model``, ``n_states``, ``evidence`` (nats), ``behind`` (nats behind the best) and
        ``probability``, the best first; all models as probable as one another beforehand.

    Raises
    ------
    InvalidInputError
        If the fits are not of the same trials, units and values.
    """
    _check_same(fits)
    table = pd.DataFrame(
        {
            "model": list(fits),
            "n_states": [int(fit.attrs["n_states"]) for fit in fits.values()],
            "evidence": [float(fit.attrs["evidence"]) for fit in fits.values()],
        }
    )
    table["behind"] = table["evidence"].max() - table["evidence"]
    table["probability"] = softmax(table["evidence"].to_numpy())
    return table.sort_values("evidence", ascending=False, ignore_index=True)


def _check_same(fits: Mapping[str, xr.Dataset]) -> None:
    first, *others = fits.values()
    for name, fit in zip(list(fits)[1:], others, strict=True):
        same = fit.attrs["values_digest"] == first.attrs["values_digest"]
        emissions = {fit.attrs["emission"], first.attrs["emission"]}
        alike = len(emissions) == 1 or any(emissions <= some for some in _ALIKE)
        if not same or not alike:
            raise InvalidInputError(
                f"changepoint: {name} is of other {'values' if alike else 'events (emission)'}; "
                "evidence compares only models of the same trials and units"
            )


def order_changepoints(one: xr.Dataset, other: xr.Dataset) -> pd.DataFrame:
    """Return which of two fits of the same trials, such as of two regions, changes first.

    Parameters
    ----------
    one, other : Dataset
        Of `fit_changepoints`, with draws; each changepoint is compared with the same one of the
        other.

    Returns
    -------
    DataFrame
        For each trial and changepoint ``p_first``, the probability that `one` changes first (half
        of a tie counts), and ``lag_s``, ``lag_low_s``, ``lag_high_s``: by how much `other` is
        later, mean and 90 % interval; then the same over all trials, ``trial`` being -1.

    Raises
    ------
    InvalidInputError
        If the fits are not of the same trials and number of states, or have no draws.
    """
    sizes = ("trial", "changepoint")
    if any(not np.array_equal(one[dim], other[dim]) for dim in sizes):
        raise InvalidInputError("changepoint: order is of fits with the same trials and n_states")
    n_draws = min(one.sizes["draw"], other.sizes["draw"])
    if n_draws == 0:
        raise InvalidInputError("changepoint: order needs joint samples; set n_draws, 1000 say")
    lags = (
        other["changepoint_draw"].to_numpy()[:n_draws]
        - one["changepoint_draw"].to_numpy()[:n_draws]
    ).astype(np.float64)
    trials = [*one["trial"].to_numpy(), -1]
    lags = np.concatenate([lags, lags.mean(axis=1, keepdims=True)], axis=1)
    bin_size_s = float(one.attrs["bin_size_s"])
    first = (lags > 1e-3 * bin_size_s).mean(axis=0) + 0.5 * (abs(lags) <= 1e-3 * bin_size_s).mean(0)
    low, high = np.quantile(lags, (0.05, 0.95), axis=0)
    index = pd.MultiIndex.from_product([trials, one["changepoint"].to_numpy()], names=sizes)
    columns = {"p_first": first, "lag_s": lags.mean(axis=0), "lag_low_s": low, "lag_high_s": high}
    table = pd.DataFrame({name: values.ravel() for name, values in columns.items()}, index=index)
    return table.reset_index()
