"""Significance: the null is found among the edges, and the share of false discoveries holds."""

import numpy as np
import pytest
from scipy.stats import kstest, norm

from connflow.connectivity import ConnectivityParams
from connflow.connectivity.null import fit_null, histogram, normal_null
from connflow.connectivity.significance import assess, off_diagonal
from connflow.errors import InvalidInputError

N = 250
DENSITY = 0.1


def null_z(rng, kind, size):
    """Draw z of pairs without influence: location, scale and bias as real networks show them."""
    noise = rng.standard_normal(size)
    if kind == "standard":
        return noise
    if kind == "wide":
        return 0.2 + 1.3 * noise
    return noise + rng.gamma(2.0, 0.6, size) - 0.4  # hidden common input


def draw_z(seed, kind="standard", strength=5.0, density=DENSITY):
    """Draw z with 80 % of the edges excitatory, and say where the edges are."""
    rng = np.random.default_rng(seed)
    z = null_z(rng, kind, (N, N))
    connected = rng.random((N, N)) < density
    sign = np.where(np.arange(N) < 0.8 * N, 1, -1.5)[:, None]
    z += connected * sign * strength * rng.lognormal(-0.08, 0.4, (N, N))
    np.fill_diagonal(connected, False)
    return z, connected


def false_discoveries(mask, connected):
    return (mask & ~connected).sum() / max(mask.sum(), 1)


@pytest.mark.parametrize("kind", ["standard", "wide", "biased"])
def test_share_of_false_discoveries_is_the_nominal_one(kind):
    shares = []
    for seed in range(2):
        z, connected = draw_z(seed, kind)
        significance = assess(z, ConnectivityParams())
        shares.append(false_discoveries(significance.mask, connected))
        assert not significance.mask.diagonal().any()
    assert 0.03 < np.mean(shares) < 0.07


def test_normal_null_is_too_liberal_where_z_is_biased():
    z, connected = draw_z(0, "biased")
    assert (
        false_discoveries(assess(z, ConnectivityParams(null_law="normal")).mask, connected) > 0.15
    )


@pytest.mark.parametrize("kind", ["standard", "wide", "biased"])
def test_location_scale_and_share_of_the_null_are_found(kind):
    z, _ = draw_z(1, kind)
    null = fit_null(*histogram(off_diagonal(z)))
    truth = null_z(np.random.default_rng(5), kind, 1_000_000)
    assert null.location == pytest.approx(truth.mean(), abs=0.1)
    assert null.scale == pytest.approx(truth.std(), rel=0.06)
    assert null.share == pytest.approx(1 - DENSITY, abs=0.03)


def test_p_is_uniform_where_nothing_is_connected():
    z, _ = draw_z(2, "wide", density=0)
    significance = assess(z, ConnectivityParams())
    assert kstest(off_diagonal(significance.p), "uniform").statistic < 0.03
    assert significance.mask.sum() <= 2


def test_histograms_of_tiles_add_up():
    z = off_diagonal(draw_z(3, "biased")[0])
    edges = np.linspace(-40, 40, 1601)
    parts = [np.histogram(tile, edges)[0] for tile in np.array_split(z, 7)]
    merged, whole = fit_null(sum(parts), edges), fit_null(np.histogram(z, edges)[0], edges)
    assert np.array_equal(merged.log_above, whole.log_above)


def test_bins_of_any_width_give_the_same_null():
    z = off_diagonal(draw_z(3, "biased")[0])
    fine, coarse = (
        fit_null(np.histogram(z, edges)[0], edges)
        for edges in (np.linspace(-60, 60, 12_001), np.linspace(-60, 60, 1201))
    )
    assert fine.location == pytest.approx(coarse.location, abs=0.05)
    assert fine.scale == pytest.approx(coarse.scale, rel=0.03)


def test_unequal_bins_are_refused():
    with pytest.raises(InvalidInputError, match="equally wide"):
        fit_null(np.array([5, 5]), np.array([0, 1, 3.0]))


def test_few_pairs_are_compared_with_the_standard_normal():
    z = np.random.default_rng(0).normal(size=(10, 10))
    significance = assess(z, ConnectivityParams())
    expected = 2 * norm.sf(np.abs(off_diagonal(z)))
    assert off_diagonal(significance.p) == pytest.approx(expected, rel=1e-3)
    assert "too few" in significance.notes["null"]


def test_fit_that_takes_the_bulk_for_influence_is_not_used():
    rng = np.random.default_rng(3)
    z = rng.normal(size=(N, N)) + rng.choice([0, -2.5, 2.5], size=(N, N), p=[0.1, 0.45, 0.45])
    significance = assess(z, ConnectivityParams())
    null = significance.comparisons[0].null
    assert null.share == 1 or null.share >= 0.5


def test_tails_go_on_beyond_the_grid():
    z = off_diagonal(draw_z(1)[0])
    for null in (normal_null(), fit_null(*histogram(z))):
        far = null.p_above(np.array([5.0, 10.0, 30.0, 45.0]))
        assert np.all(np.diff(far) < 0)
        near = np.linspace(-2, 2, 9)
        assert null.p_below(near) + null.p_above(near) == pytest.approx(1, abs=1e-3)


def test_outliers_leave_the_null_as_it_is():
    z = off_diagonal(draw_z(1)[0])
    plain = fit_null(*histogram(z))
    with_outliers = fit_null(*histogram(np.append(z, [1e6, -1e5])))
    assert with_outliers.scale == pytest.approx(plain.scale, rel=0.02)
