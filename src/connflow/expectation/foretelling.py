"""From scores of networks of known wiring to the score of one whose wiring is not known."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import t as student

from connflow.expectation.looks import SCORES, Judged

COLUMNS = ("duration_factor", "score", "mean", "low", "high", "chance", "n_networks", "meaning")

_EDGE = 0.002  # scores nearer to 0 or 1 are taken for it
_LEAST_SD = 0.1  # of a score's logit between networks


def foretell_scores(
    look: NDArray[np.float64], results: Sequence[Judged], coverage: float, n_found: int = 0
) -> pd.DataFrame:
    """Foretell the scores of a result whose truth is not known.

    Parameters
    ----------
    look : (2,) float64
        What the result looks like, from `look_at`.
    results
        On the networks that stand in for the recording, each at every duration.
    coverage : float
        Probability that an interval is to hold.
    n_found : int
        Pairs that are significant in the result; the fewer they are, the more does the share of
        true ones among them vary by chance alone.

    Returns
    -------
    DataFrame
        ``duration_factor``, ``score``, ``mean``, ``low``, ``high``, ``chance``, ``n_networks``,
        ``meaning``; NaN where too few networks have the score.

    Notes
    -----
    The scores at another duration are foretold from what the result looks like at the recording's
    own, for longer ones of the very same networks.
    """
    looks = {one.stand_in.network.seed: one.look for one in at_factor(results, 1.0)}
    rows = []
    for factor in sorted({one.stand_in.duration_factor for one in results}):
        same = [one for one in at_factor(results, factor) if one.stand_in.network.seed in looks]
        now = np.array([looks[one.stand_in.network.seed] for one in same])
        for name, meaning in SCORES.items():
            values, chances = np.array([one.scores[name] for one in same]).T
            is_counted = name == "precision" and factor == 1.0 and n_found > 0
            counts = [one.n_found for one in same] if is_counted else None
            foretold = foretell(look, now, values, coverage, counts, n_found)
            known = np.isfinite(values)
            rows.append((factor, name, *foretold, chances.mean(), int(known.sum()), meaning))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def at_factor(results: Sequence[Judged], factor: float) -> list[Judged]:
    """Return the results at one multiple of the recording's duration."""
    return [one for one in results if one.stand_in.duration_factor == factor]


def foretell(
    look: NDArray[np.float64],
    looks: NDArray[np.float64],
    values: NDArray[np.float64],
    coverage: float,
    counts: Sequence[int] | None = None,
    count: int = 0,
) -> tuple[float, float, float]:
    """Return the score to be expected at a look, and the interval for one more network.

    Notes
    -----
    The logit y of the score is regressed on the look x of the result, with ones before it, over
    n networks (the regression adjustment of approximate Bayesian computation), and foretold
    with the prediction interval of least squares::

        y = x b +- t sqrt(s^2 (1 + x' inv(X' X) x))

    t being the quantile of Student's t with ``n - 3`` degrees of freedom and s^2 the residual
    variance. The less alike the networks are to the recording, the wider it gets.

    A score that is a share of `counts` pairs, and of `count` in the result, varies by counting
    alone: its logit has the variance ``1 / (n p (1 - p))``, by so much more in the result than in
    the networks as its count is smaller; the interval ends at shares that there can be.

    References
    ----------
    Beaumont MA, Zhang W, Balding DJ (2002). Approximate Bayesian computation in population
    genetics. Genetics 162:2025-2035.
    """
    known = np.isfinite(values)
    n_free = int(known.sum()) - len(look) - 1
    if n_free < 1:
        return (float("nan"),) * 3
    y = logit(np.clip(values[known], _EDGE, 1 - _EDGE))
    X = np.column_stack([np.ones(known.sum()), looks[known]])
    x = np.concatenate([[1.0], look])
    b = np.linalg.lstsq(X, y, rcond=None)[0]
    middle = float(x @ b)
    variance = max(float(((y - X @ b) ** 2).sum()) / n_free, _LEAST_SD**2)
    if counts is not None:
        usual = _counting_variance(np.asarray(counts)[known], values[known]).mean()
        variance += max(0.0, float(_counting_variance(count, _score(middle)) - usual))
    leverage = float(x @ np.linalg.pinv(X.T @ X) @ x)
    reach = student.ppf((1 + coverage) / 2, n_free) * np.sqrt(variance * (1 + leverage))
    low, high = _score(middle - reach), _score(middle + reach)
    if counts is not None:  # a share of so many comes in whole steps
        low, high = np.floor(low * count) / count, np.ceil(high * count) / count
    return _score(middle), float(low), float(high)


def _counting_variance(n: Any, p: Any) -> Any:
    """Return the variance of the logit of a share p of n, half a case being added to each side."""
    hits, misses = n * np.asarray(p) + 0.5, n * (1 - np.asarray(p)) + 0.5
    return 1 / hits + 1 / misses


def _score(y: float) -> float:
    score = float(expit(y))
    if score <= _EDGE:
        return 0.0
    return 1.0 if score >= 1 - _EDGE else score
