"""From second moments to weights and z-scores: the methods, one function each."""

import logging
from collections.abc import Callable

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.linalg import lapack

from connflow.blocks import MapBlocks, TimeUnitArray
from connflow.connectivity.moments import Kernel, Moments, accumulate_moments
from connflow.connectivity.params import ConnectivityParams
from connflow.errors import InvalidInputError

logger = logging.getLogger(__name__)

_LEAST_UNEXPLAINED = 1e-10  # share of a feature's variance below which it is a sum of others

Estimate = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Weight and z, each of shape (n_sources, n_targets)."""


def infer_connectivity(
    activity: TimeUnitArray,
    bin_size_s: float,
    unit_ids: NDArray[np.int64],
    params: ConnectivityParams,
    map_blocks: MapBlocks = map,
) -> xr.Dataset:
    """Infer a signed weight and a z-score for every ordered pair of units.

    Parameters
    ----------
    activity : (n_time_bins, n_units) array-like
        Spike counts or a deconvolved trace; numpy, zarr, anything that slices.
    bin_size_s : float
        Width of a bin, or time between frames, in seconds.
    unit_ids : (n_units,) int64
        The recording's own ids; they label the result.
    params : ConnectivityParams
        Method and delays.
    map_blocks
        Who computes the blocks of time; see `accumulate_moments`.

    Returns
    -------
    Dataset
        ``weight`` and ``z``, float32 over (source, target); entry ``[i, j]`` is the influence of
        unit i on unit j. 0 on the diagonal, which is not estimated, and for units whose activity
        never changes; the attribute ``constant_units`` names them.

    Raises
    ------
    InvalidInputError
        With fewer than two units that change, or too short a recording.
    """
    kernels = kernels_of(params, bin_size_s)
    _check_size(activity, bin_size_s, kernels, params)
    with_gram = params.method != "correlation"
    raw = accumulate_moments(activity, kernels, with_gram=with_gram, map_blocks=map_blocks)
    moments = raw.centred()
    varies = moments.target_square > 1e-9 * raw.target_square
    _check_varying(varies, unit_ids)
    active = np.flatnonzero(varies)
    weight, z = (
        _spread(values, active, len(varies))
        for values in _METHODS[params.method](_select(moments, active), kernels, params)
    )
    return _label(
        weight,
        z,
        unit_ids,
        varies,
        {
            "method": params.method,
            "kernels": [list(kernel) for kernel in kernels],
            "ridge": params.ridge,
            "bin_size_s": bin_size_s,
            "n_time_bins": moments.n_bins,
        },
    )


def kernels_of(params: ConnectivityParams, bin_size_s: float) -> list[Kernel]:
    """Return the windows of delays, in bins, that the parameters ask for.

    In bins wider than the kernel one lag remains: the one after the source's own bin.
    """
    if params.method != "kernel_regression":
        return [(lag, lag) for lag in params.lags]
    first = max(1, round(params.kernel_start_s / bin_size_s))
    return [(first, max(first, round(params.kernel_stop_s / bin_size_s)))]


def _regress(moments: Moments, kernels: list[Kernel], params: ConnectivityParams) -> Estimate:
    """Regress every unit on the features of all units, itself included.

    Notes
    -----
    With the centred Gram matrix ``G``, cross products ``R``, and ``A = G + ridge diag(G)``::

        b = inv(A) R
        z = b / se,   se[fi, j] = sigma[j] sqrt(inv(A)[fi, fi])

    where ``sigma[j]`` is the standard deviation of target j's residual.

    Reported are the weight summed over all delays, ``sum_f b_f width_f`` (what one unit of
    activity in the source adds to the target in all), and ``sum_f z_f / sqrt(n_kernels)``.

    References
    ----------
    Least squares for multivariate autoregression: Luetkepohl 2005, New Introduction to Multiple
    Time Series Analysis, ch. 3.
    """
    assert moments.gram is not None
    n_kernels, n_units, _ = moments.cross.shape
    cross = moments.cross.reshape(n_kernels * n_units, n_units)
    penalised = moments.gram + params.ridge * np.diag(np.diag(moments.gram))
    inverse = _invert(penalised)
    b = inverse @ cross
    explained = 2 * np.einsum("fj,fj->j", b, cross) - np.einsum("fj,fj->j", b, moments.gram @ b)
    freedom = max(1, moments.n_bins - 1 - n_kernels * n_units)
    sigma = np.sqrt(np.maximum(moments.target_square - explained, 0) / freedom)
    sigma[sigma == 0] = np.inf  # predicted perfectly: there is no noise to measure against
    z = b / (np.sqrt(np.diag(inverse))[:, None] * sigma)
    widths = np.array([last - first + 1 for first, last in kernels], np.float64)
    by_kernel = b.reshape(n_kernels, n_units, n_units)
    weight = np.einsum("f,fij->ij", widths, by_kernel)
    return weight, z.reshape(n_kernels, n_units, n_units).sum(axis=0) / np.sqrt(n_kernels)


def _correlate(moments: Moments, kernels: list[Kernel], params: ConnectivityParams) -> Estimate:
    """Correlate every source with every target, and keep the delay where it is strongest.

    Notes
    -----
    Weight is Pearson's r, ``z = arctanh(r) sqrt(n_bins - 3)`` (Fisher). At lag 0 it is symmetric.
    """
    scale = np.sqrt(moments.feature_square[:, :, None] * moments.target_square)
    r = np.clip(moments.cross / np.where(scale > 0, scale, np.inf), -1, 1)
    strongest = np.abs(r).argmax(axis=0)
    weight = np.take_along_axis(r, strongest[None], axis=0)[0]
    bounded = np.clip(weight, -1 + 1e-12, 1 - 1e-12)
    return weight, np.arctanh(bounded) * np.sqrt(max(moments.n_bins - 3, 1))


_METHODS: dict[str, Callable[[Moments, list[Kernel], ConnectivityParams], Estimate]] = {
    "kernel_regression": _regress,
    "lagged_regression": _regress,
    "correlation": _correlate,
}


def _invert(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Invert a symmetric positive definite matrix through its Cholesky factor."""
    factor, info = lapack.dpotrf(matrix, lower=1)
    unexplained = np.diag(factor) ** 2 / np.diag(matrix)  # of each feature by those before it
    if info != 0 or unexplained.min() < _LEAST_UNEXPLAINED:
        raise InvalidInputError(
            "connectivity: some units are copies or sums of others, so their influences cannot be "
            "told apart; leave the copies out, or raise connectivity.ridge"
        )
    inverse, _ = lapack.dpotri(factor, lower=1)
    return np.asarray(np.tril(inverse) + np.tril(inverse, -1).T)


def _check_size(
    activity: TimeUnitArray,
    bin_size_s: float,
    kernels: list[Kernel],
    params: ConnectivityParams,
) -> None:
    n_bins, n_units = activity.shape
    if n_units < 2:
        raise InvalidInputError(
            f"connectivity needs at least two units, the recording has {n_units}; add units"
        )
    longest = max(last for _, last in kernels)
    if n_bins <= longest:
        name = "kernel_stop_s" if params.method == "kernel_regression" else "lags"
        raise InvalidInputError(
            f"connectivity.{name} reaches {longest} bins back ({longest * bin_size_s:g} s), but "
            f"the recording has only {n_bins} bins ({n_bins * bin_size_s:g} s); "
            "record longer, or shorten the delay"
        )
    n_features = len(kernels) * n_units
    if params.method != "correlation" and n_bins - longest <= n_features + 1:
        raise InvalidInputError(
            f"connectivity: {n_bins} bins are too few to tell {n_features} influences on each unit "
            "apart; record longer, use smaller bins, fewer lags or fewer units, or "
            "connectivity.method=correlation"
        )


def _check_varying(varies: NDArray[np.bool_], unit_ids: NDArray[np.int64]) -> None:
    constant = unit_ids[~varies]
    if varies.sum() < 2:
        raise InvalidInputError(
            f"connectivity needs at least two units whose activity changes; "
            f"{len(constant)} of {len(varies)} never do"
        )
    if len(constant):
        logger.warning(
            "%d units never change and get weight 0: %s",
            len(constant),
            constant[:20].tolist(),
        )


def _select(moments: Moments, units: NDArray[np.intp]) -> Moments:
    n_kernels, n_units = moments.feature_sum.shape
    if len(units) == n_units:
        return moments
    features = (np.arange(n_kernels)[:, None] * n_units + units).ravel()
    return Moments(
        moments.n_bins,
        moments.feature_sum[:, units],
        moments.target_sum[units],
        moments.target_square[units],
        None if moments.gram is None else moments.gram[np.ix_(features, features)],
        moments.feature_square[:, units],
        moments.cross[:, units][:, :, units],
    )


def _spread(
    values: NDArray[np.float64], units: NDArray[np.intp], n_units: int
) -> NDArray[np.float32]:
    full = np.zeros((n_units, n_units), np.float32)
    full[np.ix_(units, units)] = values
    np.fill_diagonal(full, 0)
    return full


def _label(
    weight: NDArray[np.float32],
    z: NDArray[np.float32],
    unit_ids: NDArray[np.int64],
    varies: NDArray[np.bool_],
    attrs: dict[str, object],
) -> xr.Dataset:
    dims = ("source", "target")
    return xr.Dataset(
        {
            "weight": (dims, weight, {"long_name": "influence of source on target"}),
            "z": (dims, z, {"long_name": "influence over its standard error"}),
        },
        coords={"source": unit_ids, "target": unit_ids},
        attrs={**attrs, "constant_units": unit_ids[~varies].tolist()},
    )
