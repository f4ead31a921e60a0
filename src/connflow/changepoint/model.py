"""A changepoint model of some trials: who emits what, when states are left, who shares rates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from connflow.changepoint.emissions import Emission
from connflow.changepoint.observations import Observations, Statistics
from connflow.changepoint.params import ChangepointParams
from connflow.changepoint.paths import (
    GradualPaths,
    PathPosterior,
    Paths,
    SkippingPaths,
    StepPaths,
    states_of,
)
from connflow.changepoint.pooling import Pooling, choose_pooling
from connflow.changepoint.timing import (
    Hazards,
    LearnedTiming,
    OwnTiming,
    Timing,
    UniformTiming,
    log_ways,
)

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Part:
    """Trials that have parameters in common.

    Parameters
    ----------
    observations : Observations
    trials : (n_part_trials,)
        Their places among all trials.
    """

    observations: Observations
    trials: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Model:
    """A model of all trials.

    Parameters
    ----------
    parts
        Trials of each group. Where groups are blocks of successive trials, all trials each.
    pooling : Pooling
    paths : Paths
    timings
        Timing prior of each group.
    has_blocks : bool
        Whether groups are blocks of trials whose ends are inferred.
    """

    parts: list[Part]
    pooling: Pooling
    paths: Paths
    timings: list[Timing]
    has_blocks: bool

    @property
    def n_trials(self) -> int:
        """Number of trials of all groups."""
        return max(int(part.trials.max()) for part in self.parts) + 1

    @property
    def n_units(self) -> int:
        """Number of units."""
        return int(self.parts[0].observations.n_units)

    def start(self, n_sets: int, rng: np.random.Generator) -> list[Statistics]:
        """Return sums over parts of trials: equal parts first, then parts drawn at random."""
        n_states = self.paths.n_states
        ends = np.cumsum(rng.dirichlet(np.full(n_states, 2.0), n_sets), axis=1)[:, :-1]
        ends[0] = np.arange(1, n_states) / n_states
        found = []
        for group, part in enumerate(self.parts):
            seen = part.observations
            at = np.arange(seen.n_bins)[:, None] + 0.5
            share = at / np.maximum(seen.lengths, 1)  # (n_bins, n_trials)
            state = (share.T[:, :, None, None] > ends).sum(axis=3)
            weights = (state[..., None] == np.arange(n_states)).astype(np.float64)
            weights *= (share.T < 1)[:, :, None, None]
            if self.has_blocks:
                block = np.arange(len(part.trials)) * len(self.parts) // len(part.trials)
                weights *= (block == group)[:, None, None, None]
            found.append(seen.sums(weights))
        return found

    def join(self, found: Sequence[PathPosterior]) -> tuple[Floats, Floats | None]:
        """Return the log evidence of all trials, (n_sets,), and the membership in blocks."""
        normalised = self._log_evidence(found)
        if not self.has_blocks:
            return np.sum([one.sum(axis=1) for one in normalised], axis=0), None
        series, lengths, uniform = _as_series(normalised)
        joined = StepPaths(len(normalised)).infer(series, lengths, uniform)
        log_evidence = joined.log_evidence[:, 0] - log_ways(lengths, len(normalised), 1)
        return log_evidence, joined.weights[0].transpose(1, 0, 2)

    def draw_blocks(
        self, found: Sequence[PathPosterior], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Draw the block of each trial, (n_trials,)."""
        normalised = self._log_evidence(found)
        series, lengths, uniform = _as_series(normalised)
        ends = StepPaths(len(normalised)).draw(series, lengths, uniform, rng, 1)[0]
        return np.asarray(states_of(ends, self.n_trials)[0])

    def _log_evidence(self, found: Sequence[PathPosterior]) -> list[Floats]:
        """Return the log evidence of the trials of each group, (n_sets, n_part_trials)."""
        return [
            one.log_evidence - timing.log_normaliser(part.observations.lengths)
            for part, one, timing in zip(self.parts, found, self.timings, strict=True)
        ]

    def timing_divergence(self, hazards: Sequence[Hazards]) -> Floats:
        """Return the divergence of all timing from its prior, (n_sets,)."""
        distinct = hazards[:1] if self.has_blocks else hazards  # blocks share one
        return np.asarray(np.sum([one.divergence for one in distinct], axis=0))

    def update_timing(
        self, found: Sequence[PathPosterior], membership: Floats | None
    ) -> list[Hazards]:
        """Return the timing that the boundaries speak for."""
        if membership is None:
            return [
                timing.update(one.boundaries, part.observations.lengths)
                for part, one, timing in zip(self.parts, found, self.timings, strict=True)
            ]
        mixed = sum(
            one.boundaries * membership[:, :, group, None, None] for group, one in enumerate(found)
        )
        shared = self.timings[0].update(np.asarray(mixed), self.parts[0].observations.lengths)
        return [shared] * len(self.parts)


def _as_series(
    log_evidence: Sequence[Floats],
) -> tuple[Floats, NDArray[np.int64], Hazards]:
    """Return trials as the bins of one series: they go through blocks as bins through states."""
    series = np.stack(log_evidence, axis=-1).transpose(1, 0, 2)[None]
    n_trials, n_sets, n_blocks = series.shape[1:]
    uniform = UniformTiming(n_blocks, n_trials, 1).start(n_sets)
    return np.ascontiguousarray(series), np.array([n_trials]), uniform


def divide_trials(
    values: Floats, groups: Sequence[NDArray[np.intp]], emission: Emission, n_blocks: int = 1
) -> list[Part]:
    """Return the trials of each group, or of each block all trials.

    Parameters
    ----------
    values : (n_trials, n_time_bins, n_units)
        NaN where nothing was observed.
    groups
        Trials of each group; not looked at where there are blocks.
    emission : Emission
    n_blocks : int
        Blocks of successive trials.
    """
    observations = Observations(values, with_squares=emission.with_squares)
    if n_blocks > 1:
        return [Part(observations, np.arange(len(values)))] * n_blocks
    return [Part(observations.take(np.asarray(one)), np.asarray(one)) for one in groups]


def build_model(
    parts: list[Part],
    emission: Emission,
    n_states: int,
    params: ChangepointParams,
    width_bins: float | None = None,
    concentration: float | None = None,
) -> Model:
    """Put a model together.

    Parameters
    ----------
    parts
        From `divide_trials`.
    emission : Emission
    n_states : int
    params : ChangepointParams
    width_bins : float, optional
        Of gradual transitions; steps if None.
    concentration : float, optional
        Of learned timing; every way to cut a trial is as likely as any other if None.
    """
    n_bins = parts[0].observations.n_bins
    return Model(
        parts,
        choose_pooling(params.pooling, emission, len(parts)),
        _choose_paths(n_states, n_bins, params, width_bins),
        [_choose_timing(n_states, n_bins, params, concentration)] * len(parts),
        params.n_trial_blocks > 1,
    )


def _choose_paths(
    n_states: int, n_bins: int, params: ChangepointParams, width_bins: float | None
) -> Paths:
    if params.sequence == "skipping":
        return SkippingPaths(n_states, n_bins, params.concentration)
    if width_bins is not None:
        return GradualPaths(n_states, params.min_dwell_bins, width_bins)
    return StepPaths(n_states, params.min_dwell_bins)


def _choose_timing(
    n_states: int, n_bins: int, params: ChangepointParams, concentration: float | None
) -> Timing:
    if params.sequence == "skipping":
        return OwnTiming(n_states, n_bins, params.min_dwell_bins)
    if concentration is None:
        return UniformTiming(n_states, n_bins, params.min_dwell_bins)
    return LearnedTiming(n_states, n_bins, params.min_dwell_bins, concentration)
