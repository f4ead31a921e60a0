"""Means, medians and shortest intervals of histograms of boundaries."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from connflow.changepoint.intervals import (
    histogram_boundaries,
    mean_boundary,
    quantile,
    shortest_interval,
)

histograms = arrays(np.float64, st.integers(2, 12), elements=st.floats(0, 1)).filter(
    lambda p: p.sum() > 0.01
)


def cumulative(p, place):
    """Return the share below a place of a density that is linear between boundaries."""
    fine = np.linspace(-1, len(p), 2000 * (len(p) + 1) + 1)
    density = np.interp(fine, np.arange(-1, len(p) + 1), np.concatenate([[0], p, [0]]))
    middle = (density[1:] + density[:-1]) / 2
    total = np.concatenate([[0], np.cumsum(middle * np.diff(fine))])
    return np.interp(place, fine, total)


def inside(p):
    """Leave room at the ends: places beyond the trial are moved to its ends."""
    padded = np.concatenate([[0], p, [0]])
    return padded / padded.sum()


@settings(deadline=None)
@given(histograms, st.floats(0.05, 0.95))
def test_a_quantile_has_its_share_below(p, share):
    p = inside(p)
    assert cumulative(p, quantile(p[None], share)[0]) == pytest.approx(share, abs=0.01)


@settings(max_examples=50, deadline=None)
@given(histograms, st.floats(0.1, 0.95))
def test_no_interval_that_holds_as_much_is_shorter(p, coverage):
    p = inside(p)
    low, high = (one[0] for one in shortest_interval(p[None], coverage))
    assert cumulative(p, high) - cumulative(p, low) == pytest.approx(coverage, abs=0.02)
    starts = np.linspace(0, len(p) - 1, 300)
    fine = np.linspace(0, len(p) - 1, 3000)
    total = cumulative(p, fine)
    ends = np.searchsorted(total, cumulative(p, starts) + coverage + 0.02)
    held = ends < len(fine)
    assert high - low <= (fine[ends[held]] - starts[held]).min(initial=np.inf) + 0.01


def test_histogram_and_mean_are_those_of_the_draws():
    drawn = np.random.default_rng(0).integers(0, 9, (500, 4, 2))
    shares = histogram_boundaries(drawn, 8)
    np.testing.assert_allclose(shares.sum(axis=2), 1)
    np.testing.assert_allclose(mean_boundary(shares), drawn.mean(axis=0))
