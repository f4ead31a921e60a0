"""Connectivity: agreement with plain least squares, planted wiring, and streaming."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from connflow.connectivity import ConnectivityParams, accumulate_moments, infer_connectivity
from connflow.connectivity.methods import kernels_of
from connflow.errors import InvalidInputError

METHODS = [
    ConnectivityParams(method="kernel_regression", kernel_stop_s=0.004),
    ConnectivityParams(method="lagged_regression", lags=(1, 3)),
    ConnectivityParams(method="correlation", lags=(0, 1, 2)),
]
IDS = np.array([7, 3, 12, 40, 41, 5])


def name(params):
    return params.method


@pytest.fixture(scope="module")
def planted():
    """Poisson counts in which unit 0 excites unit 3 and unit 1 inhibits unit 2, a bin later."""
    rng = np.random.default_rng(2)
    n_bins, rate = 40_000, np.full(6, 0.05)
    counts = np.zeros((n_bins, 6), np.uint8)
    for t in range(1, n_bins):
        drive = rate.copy()
        drive[3] += 0.15 * counts[t - 1, 0]
        drive[2] += 0.2 - 0.2 * min(counts[t - 1, 1], 1)
        counts[t] = rng.poisson(drive)
    return counts


def infer(activity, params, **options):
    return infer_connectivity(activity, 0.001, IDS[: activity.shape[1]], params, **options)


@pytest.mark.parametrize("params", METHODS, ids=name)
def test_planted_wiring_is_found_with_sign_and_direction(planted, params):
    result = infer(planted, params)
    z = result["z"]
    assert z.dims == ("source", "target")
    assert z["source"].to_numpy().tolist() == IDS.tolist()
    assert float(z.sel(source=7, target=40)) > 8
    assert float(z.sel(source=3, target=12)) < -4
    assert abs(float(z.sel(source=40, target=7))) < (4.5 if params.lags[0] else 99)
    others = z.to_numpy().copy()
    others[[0, 1, 3, 2], [3, 2, 0, 1]] = 0
    assert np.abs(others).max() < 4.5


def plain_least_squares(counts, kernels, ridge):
    """The same regression, with one design matrix and textbook formulas."""
    past = max(last for _, last in kernels)
    columns = [
        sum(counts[past - lag : len(counts) - lag].astype(float) for lag in range(first, last + 1))
        for first, last in kernels
    ]
    design = np.hstack(columns)
    design -= design.mean(axis=0)
    target = counts[past:].astype(float)
    target -= target.mean(axis=0)
    gram = design.T @ design
    inverse = np.linalg.inv(gram + ridge * np.diag(np.diag(gram)))
    b = inverse @ design.T @ target
    freedom = len(target) - 1 - design.shape[1]
    sigma = np.sqrt(((target - design @ b) ** 2).sum(axis=0) / freedom)
    z = b / (np.sqrt(np.diag(inverse))[:, None] * sigma)
    n_units = counts.shape[1]
    widths = np.repeat([last - first + 1 for first, last in kernels], n_units)[:, None]
    weight = (b * widths).reshape(-1, n_units, n_units).sum(axis=0)
    return weight, z.reshape(-1, n_units, n_units).sum(axis=0) / np.sqrt(len(kernels))


@pytest.mark.parametrize("ridge", [0.0, 0.01])
@pytest.mark.parametrize("params", METHODS[:2], ids=name)
def test_regression_agrees_with_plain_least_squares(planted, params, ridge):
    params = params.model_copy(update={"ridge": ridge})
    result = infer(planted, params)
    weight, z = plain_least_squares(planted, kernels_of(params, 0.001), ridge)
    off = ~np.eye(6, dtype=bool)
    np.testing.assert_allclose(result["weight"].to_numpy()[off], weight[off], rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(result["z"].to_numpy()[off], z[off], rtol=1e-4, atol=1e-4)


def test_correlation_agrees_with_numpy(planted):
    result = infer(planted, ConnectivityParams(method="correlation", lags=(2,)))
    whole = np.corrcoef(planted[:-2].T, planted[2:].T)[:6, 6:]
    off = ~np.eye(6, dtype=bool)
    np.testing.assert_allclose(result["weight"].to_numpy()[off], whole[off], atol=1e-6)


def test_correlation_keeps_the_strongest_lag(planted):
    result = infer(planted, ConnectivityParams(method="correlation", lags=(0, 1, 2)))
    single = [
        infer(planted, ConnectivityParams(method="correlation", lags=(lag,)))["weight"].to_numpy()
        for lag in (0, 1, 2)
    ]
    strongest = np.abs(single).max(axis=0)
    np.testing.assert_allclose(np.abs(result["weight"].to_numpy()), strongest, atol=1e-4)


@pytest.mark.parametrize("params", METHODS, ids=name)
def test_continuous_activity_with_a_large_offset(planted, params):
    """A baseline, here 1000 times the signal, must not drown the moments in rounding."""
    shifted = (planted * 0.5 + 1000).astype(np.float32)
    wanted, got = infer(planted, params)["z"], infer(shifted, params)["z"]
    np.testing.assert_allclose(got, wanted, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("block_bins", [1000, 7777, 1 << 20])
def test_counts_are_summed_exactly_however_they_are_cut(planted, block_bins):
    kernels = [(1, 3), (5, 5)]
    whole = accumulate_moments(planted, kernels, with_gram=True)
    cut = accumulate_moments(planted, kernels, with_gram=True, block_bins=block_bins)
    assert cut.n_bins == whole.n_bins == len(planted) - 5
    for field in ("feature_sum", "target_sum", "target_square", "gram", "cross"):
        np.testing.assert_array_equal(getattr(cut, field), getattr(whole, field))


@pytest.mark.parametrize("params", METHODS, ids=name)
def test_same_bits_whoever_computes_the_blocks(planted, params):
    noisy = planted + np.random.default_rng(0).normal(size=planted.shape).astype(np.float32)
    alone = infer(noisy, params)
    with ThreadPoolExecutor(3) as pool:
        together = infer(noisy, params, map_blocks=pool.map)
    assert alone.identical(together)


@pytest.mark.parametrize("params", METHODS, ids=name)
def test_silent_unit_gets_zero_and_harms_nobody(planted, params):
    with_silent = planted.copy()
    with_silent[:, 4] = 0
    result = infer(with_silent, params)
    assert result.attrs["constant_units"] == [41]
    assert (result["z"].sel(source=41) == 0).all()
    assert (result["weight"].sel(target=41) == 0).all()
    others = infer_connectivity(np.delete(with_silent, 4, 1), 0.001, np.delete(IDS, 4), params)
    kept = result.drop_sel(source=41, target=41)
    np.testing.assert_allclose(kept["z"], others["z"], rtol=1e-5)


@pytest.mark.parametrize("params", METHODS, ids=name)
def test_nobody_influences_itself(planted, params):
    result = infer(planted, params)
    assert (np.diag(result["weight"]) == 0).all()
    assert np.isfinite(result["z"]).all()


@pytest.mark.parametrize(
    ("bin_size_s", "kernels"),
    [(0.001, [(1, 10)]), (0.0005, [(2, 20)]), (0.005, [(1, 2)]), (0.02, [(1, 1)])],
)
def test_kernel_in_seconds_becomes_bins(bin_size_s, kernels):
    assert kernels_of(ConnectivityParams(), bin_size_s) == kernels


def test_calnet_setting():
    params = ConnectivityParams.parse({"preset": "calnet"})
    assert (params.method, params.lags, params.ridge) == ("lagged_regression", (10,), 0.0)


def test_copied_unit_without_ridge_is_refused(planted):
    copied = planted.copy()
    copied[:, 5] = copied[:, 4]
    with pytest.raises(InvalidInputError, match=r"raise connectivity\.ridge"):
        infer(copied, ConnectivityParams(ridge=0.0))


@pytest.mark.parametrize(
    ("activity", "params", "message"),
    [
        (np.ones((100, 1)), {}, "at least two units"),
        (np.ones((100, 3)), {}, "activity changes; 3 of 3 never do"),
        (np.eye(8, 3), {}, r"connectivity\.kernel_stop_s reaches 10 bins back"),
        (
            np.eye(8, 3),
            {"method": "correlation", "lags": [8]},
            r"connectivity\.lags reaches 8 bins back",
        ),
        (np.eye(14, 6), {}, "14 bins are too few to tell 6 influences"),
    ],
)
def test_impossible_input_is_refused(activity, params, message):
    with pytest.raises(InvalidInputError, match=message):
        infer(activity, ConnectivityParams.parse(params))


@pytest.mark.parametrize(
    "bad",
    [
        {"lags": []},
        {"lags": [-1]},
        {"lags": [1, 1]},
        {"method": "lagged_regression", "lags": [0]},
        {"kernel_start_s": 0.02},
        {"ridge": -1},
        {"method": "guess"},
    ],
)
def test_impossible_params_are_refused(bad):
    with pytest.raises(InvalidInputError):
        ConnectivityParams.parse(bad)


@pytest.mark.parametrize("params", METHODS, ids=name)
def test_scale_of_the_activity_does_not_matter_for_z(planted, params):
    tiny = (planted * 1e-9).astype(np.float32)
    wanted, got = infer(planted, params)["z"], infer(tiny, params)["z"]
    np.testing.assert_allclose(got, wanted, rtol=2e-3, atol=2e-3)
