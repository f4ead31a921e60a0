"""Trials that Optuna chooses, in a study on disk, with which a sweep that was killed goes on."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from prefect.logging import get_run_logger

from connflow.errors import InvalidInputError
from connflow.store import ArtifactRef, Store, derive_key
from connflow.store.ref import canonical_json
from connflow.sweep import N_TRIALS, SWEEP_VERSION, Choices, Range, SweepParams, TrialRecord
from flows.running.plan import plan_flow
from flows.sweeping.target import Target
from flows.sweeping.trials import Asked

STUDIES = ".studies"

NOT_OF_THE_STUDY = {"n_trials", "max_parallel", "on_failure", "study"}
"""Parameters that may change while a study goes on."""


class StudyTrials:
    """The trials of a study: first those that it holds already, then new ones.

    A trial that was through is run again, which finds its artifacts, or makes those anew that are
    gone. One that was running when its sweep was killed gets its score now. One that was being
    drawn is given up, and drawn again.
    """

    def __init__(self, study: optuna.Study, params: SweepParams) -> None:
        self._study, self._seed = study, params.seed
        self._distributions = {name: _distribution(item) for name, item in params.over.items()}
        self._n_trials = params.n_trials or N_TRIALS
        self._numbers: list[int] = []  # Optuna's, of ours
        held = study.get_trials()
        whole = [trial for trial in held if trial.params.keys() == params.over.keys()]
        self._held = iter(whole)
        self._open = {trial.number for trial in held if not trial.state.is_finished()}
        for number in self._open - {trial.number for trial in whole}:
            study.tell(number, state=TrialState.FAIL)

    def ask(self) -> Asked | None:
        """Return the next trial; None if there are no more."""
        number = len(self._numbers)
        if number == self._n_trials:
            return None
        trial: FrozenTrial | optuna.Trial | None = next(self._held, None)
        if trial is None:
            self._study.sampler = _sampler(self._seed, number)
            trial = self._study.ask(self._distributions)
            self._open.add(trial.number)
        self._numbers.append(trial.number)
        return number, _point(trial.params)

    def tell(self, record: TrialRecord) -> None:
        """Tell the study the score of a trial that is new to it.

        A failure is told as pruned: Optuna then avoids its surroundings, and else would not.
        """
        number = self._numbers[record.trial]
        if number in self._open:
            state = TrialState.PRUNED if record.score is None else TrialState.COMPLETE
            self._study.tell(number, record.score, state)


@contextmanager
def open_study(params: SweepParams, target: Target, store: Store) -> Iterator[StudyTrials]:
    """Open the study of a sweep, or start it; another run of the same sweep waits meanwhile.

    Raises
    ------
    InvalidInputError
        If the store is no folder, and no file is named for the study.
    """
    logger = get_run_logger()
    ref = _study_ref(params, target, store)
    file = _study_file(params, ref, store)
    with store.claim(ref, lambda owner: logger.info("waiting for %s, same sweep", owner)):
        file.parent.mkdir(parents=True, exist_ok=True)
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(file))),
            study_name=str(ref),
            direction=params.direction,
            load_if_exists=True,
        )
        logger.info("study %s in %s holds %d trials", ref.short, file, len(study.trials))
        yield StudyTrials(study, params)


def _study_ref(params: SweepParams, target: Target, store: Store) -> ArtifactRef:
    """Name a study by its space, and by what the flow makes without it of which inputs."""
    plan = plan_flow(target.flow, **target.arguments, store=store.root)
    base = {step.ref.step: str(step.ref) for step in plan.steps}
    space = params.model_dump(mode="json", exclude=NOT_OF_THE_STUDY)
    return ArtifactRef(step="study", key=derive_key("study", SWEEP_VERSION, space, base))


def _study_file(params: SweepParams, ref: ArtifactRef, store: Store) -> Path:
    if params.study is not None:
        return Path(params.study)
    if not store.is_local:
        raise InvalidInputError(
            f"study: a study is kept in a file of this machine, and the store is {store.root}; "
            "name a file"
        )
    return Path(store.root) / STUDIES / f"{ref.key}.log"


def _sampler(seed: int, number: int) -> optuna.samplers.BaseSampler:
    """Return a sampler for one trial, so that what is drawn depends on no earlier process."""
    state = np.random.SeedSequence([seed, number]).generate_state(1)
    return optuna.samplers.TPESampler(seed=int(state[0]), constant_liar=True)


def _distribution(values: Choices | Range) -> BaseDistribution:
    if not isinstance(values, Range):
        return CategoricalDistribution([canonical_json(value) for value in values])
    if values.integer:
        step = int(values.step or 1)
        return IntDistribution(int(values.low), int(values.high), log=values.log, step=step)
    return FloatDistribution(values.low, values.high, log=values.log, step=values.step)


def _point(params: dict[str, Any]) -> dict[str, Any]:
    """Return the values that Optuna's mean: choices, which are any JSON, are kept as text."""
    return {
        name: json.loads(value) if isinstance(value, str) else value
        for name, value in params.items()
    }
