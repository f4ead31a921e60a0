"""Variational Bayes: exact posteriors of paths and of parameters in turn.

    q(paths) q(parameters);  ELBO = Σ log Z - KL(parameters) - KL(timing) + constant

where log Z sums over all paths of a trial under the expected log likelihood. Each half step is
exact, so that the ELBO does not fall. Several starting points go side by side; after some rounds
only the best go on.

References
----------
Beal 2003, Variational algorithms for approximate Bayesian inference, PhD thesis, chapter 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connflow.changepoint.model import Model
from connflow.changepoint.observations import Statistics
from connflow.changepoint.paths import PathPosterior
from connflow.changepoint.timing import Hazards

Floats = NDArray[np.float64]

_FIRST_ROUNDS = 8
_BEST = 2
_TOLERANCE = 1e-3
"""Nats by which the ELBO must still rise in a round, for another one."""


@dataclass(frozen=True, eq=False)
class Round:
    """What a round rests on, and what it finds.

    Parameters
    ----------
    elbo : (n_sets,)
    posteriors
        Of the parameters of each group.
    hazards
        Of each group.
    paths
        Of the trials of each group.
    membership : (n_sets, n_trials, n_groups), optional
        Probability that a trial lies in a block, where groups are blocks of trials.
    """

    elbo: Floats
    posteriors: list[Any]
    hazards: list[Hazards]
    paths: list[PathPosterior]
    membership: Floats | None


@dataclass(frozen=True, eq=False)
class Fit:
    """The best of several starting points.

    Parameters
    ----------
    last : Round
        Its last round, one set.
    elbos : (n_rounds,)
        Its ELBO as it rose.
    restart_elbos : (n_restarts,)
        Of every starting point, when it ended.
    """

    last: Round
    elbos: Floats
    restart_elbos: Floats

    @property
    def elbo(self) -> float:
        """The last one."""
        return float(self.elbos[-1])


def fit_vb(
    model: Model,
    n_restarts: int,
    rng: np.random.Generator,
    max_rounds: int = 500,
    start: Sequence[Statistics] | None = None,
) -> Fit:
    """Climb to a maximum of the ELBO from several starting points.

    Parameters
    ----------
    model : Model
    n_restarts : int
        The first starts from equal parts of each trial, the others from parts drawn at random.
    rng
    max_rounds : int
    start
        Sums of each group to start from instead.
    """
    sums = list(start) if start is not None else model.start(n_restarts, rng)
    hazards = [one.start(len(sums[0].x)) for one in model.timings]
    alive = np.arange(len(sums[0].x))
    restart_elbos, traces = np.full(len(alive), -np.inf), list[Floats]()
    for number in range(1, max_rounds + 1):
        done, sums, hazards = run_round(model, sums, hazards)
        rise = done.elbo - restart_elbos[alive]
        restart_elbos[alive] = done.elbo
        traces.append(restart_elbos.copy())
        if np.all(rise < _TOLERANCE) or number == max_rounds:
            break
        if number == _FIRST_ROUNDS:
            kept = np.sort(np.argsort(done.elbo)[-_BEST:])
            alive = alive[kept]
            sums = [_take(one, kept) for one in sums]
            hazards = [_take(one, kept) for one in hazards]
    best = int(np.argmax(done.elbo))
    trace = np.array(traces)[:, alive[best]]
    return Fit(select_set(done, best), trace, restart_elbos)


def run_round(
    model: Model, sums: list[Statistics], hazards: list[Hazards]
) -> tuple[Round, list[Statistics], list[Hazards]]:
    """Infer parameters from sums, and paths from parameters; return the sums and hazards next."""
    posteriors = model.pooling.posteriors(sums)
    emission, paths, found = model.pooling.emission, model.paths, []
    states = [emission.coefficients(one) for one in posteriors]
    for part, one, hazard in zip(model.parts, states, hazards, strict=True):
        log_likelihood = part.observations.log_likelihood(paths.modes(one))
        found.append(paths.infer(log_likelihood, part.observations.lengths, hazard))
    log_evidence, membership = model.join(found)
    elbo = log_evidence + emission.constant(posteriors[0])
    elbo = elbo - model.pooling.divergence(posteriors) - model.timing_divergence(hazards)
    done = Round(elbo, posteriors, hazards, found, membership)
    return done, next_sums(model, done), model.update_timing(found, membership)


def next_sums(model: Model, done: Round) -> list[Statistics]:
    """Return the sums of each group's states under the paths that a round found."""
    coefficients = model.pooling.emission.coefficients
    sums = []
    for group, (part, one) in enumerate(zip(model.parts, done.paths, strict=True)):
        weights = _weighted(one.weights, done.membership, group)
        states = coefficients(done.posteriors[group])
        sums.append(model.paths.states(part.observations.sums(weights), states))
    return sums


def _weighted(weights: Floats, membership: Floats | None, group: int) -> Floats:
    if membership is None:
        return weights
    return weights * membership[:, :, group].T[:, None, :, None]


def select_set(done: Round, number: int) -> Round:
    """Return one set of a round."""
    kept = np.array([number])
    return Round(
        done.elbo[kept],
        [_take(one, kept) for one in done.posteriors],
        [_take(one, kept) for one in done.hazards],
        [
            PathPosterior(one.log_evidence[kept], one.weights[:, :, kept], one.boundaries[kept])
            for one in done.paths
        ],
        None if done.membership is None else done.membership[kept],
    )


def _take(values: Any, sets: NDArray[np.intp]) -> Any:
    """Return some sets of a dataclass of arrays whose first axis are sets."""
    arrays = {name: None if array is None else array[sets] for name, array in vars(values).items()}
    return type(values)(**arrays)
