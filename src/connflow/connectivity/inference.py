"""From activity to labelled connectivity: check, estimate, assess, label."""

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from connflow.blocks import TIME_BLOCK, MapBlocks, split
from connflow.connectivity.activity import Activity, SpikeTrains, counts_events
from connflow.connectivity.dale import SourceSigns, find_signs, impose_dale
from connflow.connectivity.estimate import Estimate
from connflow.connectivity.methods import METHODS, on_grid, resolve_method
from connflow.connectivity.params import ConnectivityParams
from connflow.connectivity.significance import Significance, assess
from connflow.connectivity.surrogates import against_surrogates, jittered, shifted
from connflow.errors import InvalidInputError

logger = logging.getLogger(__name__)

MOST_UNITS = 20_000
"""With more, matrices of all pairs of units are refused."""


def infer_connectivity(
    activity: Activity,
    unit_ids: NDArray[np.int64],
    params: ConnectivityParams,
    map_blocks: MapBlocks = map,
) -> xr.Dataset:
    """Infer a signed weight and its significance for every ordered pair of units.

    Parameters
    ----------
    activity : SpikeTrains or Traces
        See `spike_trains` and `traces`.
    unit_ids : (n_units,) int64
        The recording's own ids; they label the result.
    params : ConnectivityParams
        Method, delays, and how significance is judged.
    map_blocks
        Who computes blocks of units or of time; the result has the same bits whoever does.

    Returns
    -------
    Dataset
        Over (source, target), entry ``[i, j]`` being the influence of unit i on unit j:
        ``weight``, ``z`` and ``p`` (float32), ``delay`` (s, NaN where there is none) and
        ``mask`` (bool, significant at the false discovery rate asked for). 0, p = 1 and False on
        the diagonal, which is not estimated, and for units whose activity never changes; the
        attribute ``constant_units`` names them. Over source, ``source_sign`` (1, -1, or 0 for
        those units) and ``source_sign_confidence``. With `params.n_bootstrap`, ``weight_low`` and
        ``weight_high``.

    Raises
    ------
    InvalidInputError
        With fewer than two units that change, too short a recording, or activity of a kind that
        the method does not read.
    """
    if activity.n_units > MOST_UNITS:
        raise InvalidInputError(
            f"connectivity: matrices of all pairs of {activity.n_units} units are too large (the "
            f"most are {MOST_UNITS}); connflow.connectivity.infer_edges finds the significant "
            "edges of spikes without them, or leave units out with recording.exclude_units"
        )
    method = resolve_method(activity, params)
    _check_intervals(method, params)
    gridded = on_grid(activity, method, params)  # which may cut the last spike of a unit
    active = _varying_units(gridded, unit_ids)
    chosen = gridded.select(active)
    estimate = _estimate(chosen, method, params, map_blocks)
    against = None
    if params.null_law == "both":
        against = _z_against_surrogates(chosen, method, params, estimate, map_blocks)
    if params.null_law == "surrogate":
        z = _z_against_surrogates(chosen, method, params, estimate, map_blocks)
        estimate = replace(estimate, z=z, expected=None)
    is_counts = counts_events(chosen)  # of which most pairs may meet never, or once
    significance = assess(estimate.scores(), params, against, at_least_normal=is_counts)
    signs = find_signs(estimate.z, significance.comparisons[0].null.location)
    if params.dale:
        estimate, significance = impose_dale(
            estimate, significance, signs, params.false_discovery_rate
        )
    attrs = {
        **params.model_dump(mode="json", exclude_none=True),
        "method": method,
        "interval_s": chosen.interval_s,
        "n_samples": chosen.n_samples,
        "n_segments": len(chosen.segments),
        "constant_units": np.delete(unit_ids, active).tolist(),
        **estimate.notes,
        **significance.notes,
    }
    labelled = _label(estimate, significance, active, unit_ids).assign_attrs(attrs)
    return labelled.assign(_label_signs(signs, active, len(unit_ids)))


def _check_intervals(method: str, params: ConnectivityParams) -> None:
    is_lasso = method == "lagged_regression" and params.lasso > 0
    if params.n_bootstrap == 0 or (METHODS[method].has_intervals and not is_lasso):
        return
    known = ", ".join(name for name, one in METHODS.items() if one.has_intervals)
    raise InvalidInputError(
        f"connectivity.n_bootstrap: {method}{' with a lasso' if is_lasso else ''} gives no "
        f"intervals, they are for {known}; set it to 0, or choose one of these"
    )


def _z_against_surrogates(
    activity: Activity,
    method: str,
    params: ConnectivityParams,
    estimate: Estimate,
    map_blocks: MapBlocks,
) -> NDArray[np.float64]:
    """Return every pair's score against those that it has in surrogates of the activity."""
    rng = np.random.default_rng(params.seed)
    learned = estimate.notes.get("kernel_heights")  # the same kernel for all
    same = params.model_copy(update={"n_bootstrap": 0, "kernel_heights": learned})
    n_units = activity.n_units
    surrogate_z = np.empty((params.n_surrogates, n_units, n_units), np.float32)
    for k in range(params.n_surrogates):
        surrogate = (
            jittered(activity, params.jitter_s, rng)
            if isinstance(activity, SpikeTrains)
            else shifted(activity, rng)
        )
        surrogate_z[k] = _estimate(surrogate, method, same, map_blocks).scores()
    return against_surrogates(estimate.scores(), surrogate_z)


def _estimate(
    activity: Activity, method: str, params: ConnectivityParams, map_blocks: MapBlocks
) -> Estimate:
    with threadpool_limits(1, user_api="blas"):  # the last bits depend on how many there are
        return METHODS[method].estimate(activity, params, map_blocks)


def _varying_units(activity: Activity, unit_ids: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return the rows of the units whose activity changes, and warn of the others."""
    if activity.n_units < 2:
        raise InvalidInputError(
            f"connectivity needs at least two units, the recording has {activity.n_units}; "
            "add units"
        )
    varies = _varies(activity)
    constant = unit_ids[~varies]
    if varies.sum() < 2:
        raise InvalidInputError(
            f"connectivity needs at least two units whose activity changes; "
            f"{len(constant)} of {len(varies)} never do"
        )
    if len(constant):
        logger.warning(
            "%d units never change and get weight 0: %s", len(constant), constant[:20].tolist()
        )
    return np.flatnonzero(varies)


def _varies(activity: Activity) -> NDArray[np.bool_]:
    if isinstance(activity, SpikeTrains):
        n_spikes = np.bincount(activity.units, minlength=activity.n_units)
        return np.asarray((n_spikes > 0) & (n_spikes < activity.n_samples))
    lowest = np.full(activity.n_units, np.inf)
    highest = -lowest
    for start, stop in activity.segments:
        for part in split(int(stop - start), TIME_BLOCK):
            rows = activity.read(slice(int(start) + part.start, int(start) + part.stop))
            lowest = np.minimum(lowest, rows.min(axis=0))
            highest = np.maximum(highest, rows.max(axis=0))
    scale = np.maximum(np.abs(lowest), np.abs(highest))
    return np.asarray(highest - lowest > 1e-6 * scale)  # less is rounding in float32


def _label_signs(
    signs: SourceSigns, active: NDArray[np.intp], n_units: int
) -> dict[str, xr.DataArray]:
    sign, confidence = np.zeros(n_units, np.int8), np.zeros(n_units, np.float32)
    sign[active], confidence[active] = signs.sign, signs.confidence
    what = "type of the source: 1 excitatory, -1 inhibitory, 0 unknown"
    return {
        "source_sign": xr.DataArray(sign, dims="source", attrs={"long_name": what}),
        "source_sign_confidence": xr.DataArray(
            confidence, dims="source", attrs={"long_name": "confidence in the sign, 0 to 1"}
        ),
    }


def _label(
    estimate: Estimate,
    significance: Significance,
    active: NDArray[np.intp],
    unit_ids: NDArray[np.int64],
) -> xr.Dataset:
    n_units, dims = len(unit_ids), ("source", "target")
    pairs = np.ix_(active, active)

    def spread(values: NDArray[Any] | float, elsewhere: float, dtype: type) -> NDArray[Any]:
        full: NDArray[Any] = np.full((n_units, n_units), elsewhere, dtype)
        full[pairs] = values
        np.fill_diagonal(full, elsewhere)
        return full

    nan = float("nan")
    labelled = xr.Dataset(
        {
            "weight": (
                dims,
                spread(estimate.weight, 0, np.float32),
                {"long_name": "influence of source on target", "units": estimate.weight_units},
            ),
            "z": (
                dims,
                spread(estimate.z, 0, np.float32),
                {"long_name": "influence over its standard error"},
            ),
            "p": (dims, spread(significance.p, 1, np.float32), {"long_name": "two-sided p-value"}),
            "delay": (
                dims,
                spread(estimate.delay_s, nan, np.float32),
                {"long_name": "delay of the influence", "units": "s"},
            ),
            "mask": (
                dims,
                spread(significance.mask & (estimate.weight != 0), False, np.bool_),
                {"long_name": "significant at the false discovery rate asked for"},
            ),
        },
        coords={"source": unit_ids, "target": unit_ids},
    )
    if estimate.weight_low is None or estimate.weight_high is None:
        return labelled
    return labelled.assign(
        weight_low=(dims, spread(estimate.weight_low, 0, np.float32)),
        weight_high=(dims, spread(estimate.weight_high, 0, np.float32)),
    )
