"""Where the units of a culture lie, and which are connected."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.spatial.distance import cdist

from connflow.recording._lif import Synapses
from connflow.recording.culture.params import STEPS_PER_SECOND, CultureParams

_STREAMS = ("places", "wiring", "weights", "delays", "counts", "picks")


def place_units(params: CultureParams) -> NDArray[np.float64]:
    """Return x and y of every unit, mm, shape (n_units, 2); uniform in the square."""
    return generator(params, "places").uniform(0, params.side_mm, (params.n_units, 2))


def draw_weights(params: CultureParams) -> NDArray[np.float32]:
    """Draw the wiring: the weights of rested synapses ``[source, target]``, mV.

    Notes
    -----
    Units at distance d are connected with probability ``min(1, c exp(-(d / l)^2))``, with l the
    `connection_length_mm` and c such that a unit has `connections_per_unit` outputs on average.
    Weights are log-normal of mean `weight_mean_mv`.
    """
    probability = _probability(params)
    connected = generator(params, "wiring").random(probability.shape) < probability
    sd = params.weight_log_sd
    z = generator(params, "weights").standard_normal(int(connected.sum()))
    weights = np.zeros(probability.shape, np.float32)
    weights[connected] = params.weight_mean_mv * np.exp(sd * z - sd**2 / 2)
    return weights


def _probability(params: CultureParams) -> NDArray[np.float64]:
    places = place_units(params)
    nearness = np.exp(-((cdist(places, places) / params.connection_length_mm) ** 2))
    np.fill_diagonal(nearness, 0)
    wanted = params.connections_per_unit * params.n_units

    def excess(log_scale: float) -> float:
        return float(np.minimum(np.exp(log_scale) * nearness, 1).sum()) - wanted

    highest = -np.log(nearness[nearness > 0].min())  # there all pairs are connected
    scale = np.exp(brentq(excess, np.log(wanted / nearness.sum()) - 1, highest + 1))
    return np.asarray(np.minimum(scale * nearness, 1))


def to_synapses(weights: NDArray[np.float32], params: CultureParams) -> Synapses:
    """Return the outgoing synapses of every unit, with delays uniform on the grid."""
    sources, targets = np.nonzero(weights)
    shortest, longest = steps_of(params.delay_min_s), steps_of(params.delay_max_s)
    return Synapses(
        starts=np.searchsorted(sources, np.arange(len(weights) + 1)).astype(np.int64),
        targets=targets.astype(np.int32),
        weights=weights[sources, targets].astype(np.float64),
        delay_steps=generator(params, "delays").integers(
            shortest, longest + 1, len(targets), np.int32
        ),
    )


def steps_of(seconds: float) -> int:
    """Return the number of time steps in so many seconds."""
    return round(seconds * STEPS_PER_SECOND)


def generator(
    params: CultureParams,
    stream: Literal["places", "wiring", "weights", "delays", "counts", "picks"],
) -> np.random.Generator:
    """Return the random numbers of one purpose, independent of those of the others."""
    spawned = np.random.SeedSequence(params.seed).spawn(len(_STREAMS))
    return np.random.Generator(np.random.PCG64(spawned[_STREAMS.index(stream)]))
