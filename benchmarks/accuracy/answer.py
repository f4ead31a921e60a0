"""What every contender returns."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Answer:
    """Influence of every unit on every other one.

    Parameters
    ----------
    z : (n_units, n_units) float
        Signed score that ranks pairs, ``[source, target]``; the diagonal is not looked at.
    weight : (n_units, n_units) float
        Signed weight.
    mask : (n_units, n_units) bool, optional
        Pairs that the method calls connected, at its own level.
    notes : dict
        What the method decided on the way.
    """

    z: NDArray[np.floating]
    weight: NDArray[np.floating]
    mask: NDArray[np.bool_] | None
    notes: dict[str, object] = field(default_factory=dict)
