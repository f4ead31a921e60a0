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
    """Return the share below a place of a distribution that is flat within bins."""
    edges = np.arange(len(p) + 1) - 0.5
    return np.interp(place, edges, np.concatenate([[0], np.cumsum(p)]))


@settings(deadline=None)
@given(histograms, st.floats(0.05, 0.95))
def test_a_quantile_has_its_share_below(p, share):
    p = p / p.sum()
    assert cumulative(p, quantile(p[None], share)[0]) == pytest.approx(share, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(histograms, st.floats(0.1, 0.95))
def test_no_interval_that_holds_as_much_is_shorter(p, coverage):
    p = p / p.sum()
    low, high = (one[0] for one in shortest_interval(p[None], coverage))
    assert cumulative(p, high) - cumulative(p, low) == pytest.approx(coverage, abs=1e-6)
    starts = np.linspace(-0.5, len(p) - 0.5, 400)
    ends = [quantile(p[None], min(1.0, cumulative(p, s) + coverage))[0] for s in starts]
    holds = [
        cumulative(p, e) - cumulative(p, s) >= coverage - 1e-9
        for s, e in zip(starts, ends, strict=True)
    ]
    widths = (np.array(ends) - starts)[holds]
    assert high - low <= widths.min() + 1e-6


def test_histogram_and_mean_are_those_of_the_draws():
    drawn = np.random.default_rng(0).integers(0, 9, (500, 4, 2))
    shares = histogram_boundaries(drawn, 8)
    np.testing.assert_allclose(shares.sum(axis=2), 1)
    np.testing.assert_allclose(mean_boundary(shares), drawn.mean(axis=0))
