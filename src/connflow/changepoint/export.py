"""Changepoint fits for arviz."""

import importlib
import warnings
from typing import Any

import xarray as xr

from connflow.errors import InvalidInputError

_KEPT = ("changepoint_mean", "changepoint_low", "changepoint_high", "state_probability", "level")


def to_inference_data(fit: xr.Dataset) -> Any:
    """Return a fit as arviz takes it.

    Parameters
    ----------
    fit : Dataset
        Of `fit_changepoints`, with draws.

    Returns
    -------
    arviz.InferenceData, or DataTree from arviz 1 on
        Group ``posterior``: ``changepoint_draw`` as ``changepoint_s``, one chain. Group
        ``constant_data``: means, intervals, probabilities of states, levels.

    Raises
    ------
    InvalidInputError
        If the fit has no draws, or arviz is not installed.
    """
    if fit.sizes.get("draw", 0) == 0:
        raise InvalidInputError("changepoint: arviz needs joint samples; set n_draws, 1000 say")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # arviz announces its next release
            arviz = importlib.import_module("arviz")
    except ImportError as error:
        raise InvalidInputError(
            "changepoint: arviz is not installed; pip install 'connflow[arviz]'"
        ) from error
    drawn = fit["changepoint_draw"].rename("changepoint_s").expand_dims("chain")
    groups = {
        "posterior": drawn.to_dataset().assign_coords(chain=[0], draw=range(fit.sizes["draw"])),
        "constant_data": fit[[name for name in _KEPT if name in fit]],
    }
    groups = {name: group.assign_attrs(fit.attrs) for name, group in groups.items()}
    if hasattr(arviz, "InferenceData"):
        return arviz.InferenceData(**groups)
    return xr.DataTree.from_dict(groups)
