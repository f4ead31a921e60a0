"""What every method returns."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from connflow.blocks import MapBlocks
from connflow.connectivity.activity import Activity
from connflow.connectivity.coincidences import Expected, score_coincidences
from connflow.connectivity.params import ConnectivityParams


@dataclass(frozen=True, eq=False)
class Estimate:
    """Influence of every unit on every other one, as one method sees it.

    Parameters
    ----------
    weight : (n_sources, n_targets) float
        Signed, in `weight_units`.
    z : (n_sources, n_targets) float
        The weight over its standard error, or another score that ranks pairs and has a standard
        normal distribution where there is no influence, as far as the method knows.
    delay_s : (n_sources, n_targets) float, or float
        Delay at which the influence is strongest, s; NaN where the method has none.
    weight_units : str
        What the weight is counted in.
    notes : dict
        What the method found out and decided on the way; becomes attributes of the result.
    expected : Expected, optional
        Coincidences that pairs of spike trains have by chance, where z is that of a count.
    weight_low, weight_high : (n_sources, n_targets) float, optional
        Ends of the 95 % interval of each weight.
    """

    weight: NDArray[np.floating]
    z: NDArray[np.floating]
    delay_s: NDArray[np.floating] | float
    weight_units: str
    notes: dict[str, object] = field(default_factory=dict)
    expected: Expected | None = None
    weight_low: NDArray[np.floating] | None = None
    weight_high: NDArray[np.floating] | None = None

    def scores(self) -> NDArray[np.floating]:
        """Return z for p-values: normal without influence, even where few coincidences are."""
        return self.z if self.expected is None else score_coincidences(self.z, self.expected)


Estimator = Callable[[Activity, ConnectivityParams, MapBlocks], Estimate]
"""A method: all units vary, and there are at least two; the diagonal is not looked at."""
