"""From a flow and a search space to the best of many runs: the sweep flow."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from prefect import flow

from connflow.store import Store
from connflow.sweep import SweepParams, SweepRecord, draw_points
from flows.running.run import Run
from flows.running.runner import run_on
from flows.sweeping.result import SweepResult, publish_sweep
from flows.sweeping.target import Target
from flows.sweeping.trial import Setup
from flows.sweeping.trials import KnownTrials, TrialRunner, Trials
from tasks.sweep import WORD, write_sweep


@flow(name="sweep", flow_run_name="sweep of {params.flow}", persist_result=False)
def sweep(
    params: SweepParams,
    arguments: dict[str, Any] = {},  # noqa: B006
    profile: str = "local",
    store: str | None = None,
) -> SweepResult:
    """Run a flow at many points of its parameters, and tell which is best.

    Parameters
    ----------
    params
        Which flow, over what, how the points are chosen, and by which score.
    arguments
        What all trials give the flow, e.g. its recording and params; its defaults if left out.
    profile
        Where the tasks of all trials are executed: a profile's name, or the path of a YAML file.
    store
        Root of the artifact store; ``$CONNFLOW_STORE`` or ``./store`` if None.
    """
    target = Target.find(params.flow, arguments)
    target.check(params.over)
    with run_on(profile, store) as run:
        assert isinstance(run, Run), "a sweep has no plan: its trials have"
        with _trials(params, target, run.store) as trials:
            setup = Setup(target, params.score, profile, run.store)
            records = TrialRunner(trials, setup, params).run()
        record = SweepRecord(params=params, trials=tuple(records))
        result = SweepResult({WORD: write_sweep(run.store, record)}, run.store, record)
        publish_sweep(result)
        return result


def _trials(params: SweepParams, target: Target, store: Store) -> AbstractContextManager[Trials]:
    if params.method != "optuna":
        return nullcontext(KnownTrials(draw_points(params)))
    from flows.sweeping.study import open_study  # costs time, which other methods need not wait for

    return open_study(params, target, store)
