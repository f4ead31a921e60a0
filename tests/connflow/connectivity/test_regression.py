"""The regressions against plain least squares, and what they refuse."""

import numpy as np
import pytest
from sklearn.linear_model import ElasticNet

from connflow.connectivity import ConnectivityParams, infer_connectivity, traces
from connflow.connectivity.lasso import fit_elastic_net
from connflow.connectivity.moments import accumulate_moments
from connflow.errors import InvalidInputError

IDS = np.arange(6)
OFF = ~np.eye(6, dtype=bool)


@pytest.fixture(scope="module")
def counts():
    """Poisson counts in which unit 0 excites unit 3, a bin later."""
    rng = np.random.default_rng(2)
    counts = rng.poisson(0.05, (20_000, 6))
    counts[1:, 3] += rng.binomial(counts[:-1, 0], 0.2)
    return counts.astype(np.uint8)


def infer(values, **params):
    return infer_connectivity(
        traces(values, 0.001), IDS[: values.shape[1]], ConnectivityParams.parse(params)
    )


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
    shape = len(kernels), counts.shape[1], counts.shape[1]
    correlation = inverse / np.sqrt(np.outer(np.diag(inverse), np.diag(inverse)))
    return b.reshape(shape), z.reshape(shape), correlation.reshape(shape[:2] * 2)


@pytest.mark.parametrize("ridge", [0.0, 0.01])
def test_lagged_regression_agrees_with_plain_least_squares(counts, ridge):
    found = infer(counts, method="lagged_regression", lags=[1, 3], ridge=ridge)
    b, z, correlation = plain_least_squares(counts, [(1, 1), (3, 3)], ridge)
    np.testing.assert_allclose(found["weight"].to_numpy()[OFF], b.sum(0)[OFF], rtol=1e-4, atol=1e-7)
    variance = np.array([correlation[:, i, :, i].sum() for i in range(6)])
    wanted = (z.sum(0) / np.sqrt(variance)[:, None])[OFF]
    np.testing.assert_allclose(found["z"].to_numpy()[OFF], wanted, rtol=1e-4, atol=1e-4)
    lags = np.array([1, 3])[np.abs(z).argmax(0)]
    np.testing.assert_allclose(found["delay"].to_numpy()[OFF], 0.001 * lags[OFF], rtol=1e-5)


@pytest.mark.parametrize("ridge", [0.0, 0.01])
def test_kernel_regression_tests_the_kernel_and_controls_for_what_lies_behind(counts, ridge):
    kernel = {"kernel_start_s": 0.001, "kernel_stop_s": 0.004, "delay_max_s": 0.004}
    found = infer(counts, method="kernel_regression", ridge=ridge, **kernel)
    b, z, _ = plain_least_squares(counts, [(1, 4), (5, 16)], ridge)
    np.testing.assert_allclose(found["weight"].to_numpy()[OFF], 4 * b[0][OFF], rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(found["z"].to_numpy()[OFF], z[0][OFF], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_elastic_net_agrees_with_scikit_learn(counts, ridge):
    moments = accumulate_moments(traces(counts, 0.001), [(1, 1), (2, 3)], with_gram=True).centred()
    b = fit_elastic_net(moments, 0.3, ridge).reshape(12, 6)
    x = counts.astype(float)
    design = np.hstack([x[2:-1], x[1:-2] + x[:-3]])
    design = (design - design.mean(0)) / design.std(0)
    target = x[3:] - x[3:].mean(0)
    largest = np.abs(design.T @ target).max(0) / len(target)
    for j in range(6):
        alpha = 0.3 * largest[j] + ridge
        model = ElasticNet(alpha=alpha, l1_ratio=0.3 * largest[j] / alpha, tol=1e-10)
        model.fit(design, target[:, j])
        scale = np.hstack([x[2:-1], x[1:-2] + x[:-3]]).std(0)
        np.testing.assert_allclose(b[:, j] * scale, model.coef_, atol=1e-5)


def test_lasso_leaves_pairs_out(counts):
    found = infer(counts, method="lagged_regression", lags=[1], lasso=0.5)
    assert (found["weight"].to_numpy()[OFF] == 0).mean() > 0.5
    assert float(found["weight"].sel(source=0, target=3)) > 0.05


def test_presets_of_calnet_and_calcinet():
    for name, lag in (("calnet", 10), ("calcinet", 1)):
        params = ConnectivityParams.parse({"preset": name})
        assert (params.method, params.lags, params.ridge) == ("lagged_regression", (lag,), 0.0)


def test_copied_unit_without_ridge_is_refused(counts):
    copied = counts.copy()
    copied[:, 5] = copied[:, 4]
    with pytest.raises(InvalidInputError, match=r"raise connectivity\.ridge"):
        infer(copied, method="lagged_regression", ridge=0.0)


@pytest.mark.parametrize(
    ("values", "params", "message"),
    [
        (np.ones((100, 1)), {}, "at least two units"),
        (np.ones((100, 3)), {}, "activity changes; 3 of 3 never do"),
        (np.eye(8, 3), {}, "the delays reach 40 samples back"),
        (np.eye(8, 3), {"method": "correlation", "lags": [8]}, "reach 8 samples back"),
        (np.eye(52, 6), {}, "12 samples are too few to tell 12 influences"),
    ],
)
def test_impossible_input_is_refused(values, params, message):
    with pytest.raises(InvalidInputError, match=message):
        infer(values, **params)


@pytest.mark.parametrize(
    "bad",
    [
        {"lags": []},
        {"lags": [-1]},
        {"lags": [1, 1]},
        {"method": "lagged_regression", "lags": [0]},
        {"kernel_start_s": 0.02, "kernel_stop_s": 0.01},
        {"delay_min_s": 0.02},
        {"ridge": -1},
        {"method": "guess"},
    ],
)
def test_impossible_params_are_refused(bad):
    with pytest.raises(InvalidInputError):
        ConnectivityParams.parse(bad)


@pytest.mark.parametrize("method", ["kernel_regression", "lagged_regression", "correlation"])
def test_neither_offset_nor_scale_of_a_trace_matters_for_z(counts, method):
    params = {"method": method, "kernel_stop_s": 0.003}
    wanted = infer(counts, **params)["z"]
    for changed in (counts * 0.5 + 1000, counts * 1e-9):
        got = infer(changed.astype(np.float32), **params)["z"]
        np.testing.assert_allclose(got, wanted, rtol=3e-3, atol=3e-3)
