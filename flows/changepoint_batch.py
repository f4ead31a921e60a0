"""Many fits of changepoints at once: sessions, bins, regions, numbers of states, surrogates."""

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Self

from prefect import flow
from pydantic import Field, model_validator

from connflow.changepoint import BatchParams, ChangepointParams, FitGrid, PageParams
from connflow.errors import InvalidInputError, first_line
from connflow.params import StepParams
from connflow.recording.params import RecordingParams
from connflow.store import ArtifactRef
from connflow.trials import TrialsParams
from flows.running.result import FlowResult
from flows.running.run import Run
from flows.running.runner import run_on
from flows.trials import Session, make_trials
from flows.wiring import Made
from tasks.changepoint import BATCH, fit_batch, write_batch_report


class ChangepointBatchParams(StepParams):
    """Parameters of many fits: a section per step, and what is varied."""

    recording: RecordingParams = RecordingParams()
    trials: TrialsParams = TrialsParams()
    bin_sizes_s: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (), description="Bin widths that are gone through, s; that of trials alone if empty."
    )
    grid: FitGrid = FitGrid()
    changepoint: ChangepointParams = ChangepointParams(n_draws=0)
    fits_per_task: int = Field(
        100, ge=1, description="Fits that a task makes, and keeps, together."
    )
    report: PageParams = PageParams(title="Changepoints of many fits")

    @model_validator(mode="after")
    def _check_grid(self) -> Self:
        self.grid.settings(self.changepoint)
        return self


@flow(name="infer-changepoint-batch", persist_result=False)
def infer_changepoint_batch(
    sessions: list[Session],
    params: ChangepointBatchParams = ChangepointBatchParams(),
    profile: str = "local",
    store: str | None = None,
) -> FlowResult:
    """Fit the changepoints of many sessions at every point of a grid, and tabulate them.

    What fails is listed with its reason; the rest goes on. Fits that were made before are found.

    Args:
        sessions: Where the trials of each session come from.
        params: A section per step, and what is varied.
        profile: Where tasks are executed: a profile's name, or the path of a YAML file.
        store: Root of the artifact store; `$CONNFLOW_STORE` or `./store` if None.
    """  # Google's style, unlike elsewhere: from it Prefect takes the descriptions in the run form
    with run_on(profile, store) as run:
        _check_names(sessions)
        assert isinstance(run, Run), "a batch has no plan: what it fits depends on what can be read"
        submitted = [
            (session.label, make_trials(run, session, params.recording, cut))
            for session in sessions
            for cut in _cuts(params)
        ]
        made, failures = sort_out(run, submitted)
        if not made:
            raise InvalidInputError(f"no trials could be read: {failures}")
        batches = [
            (f"fits {number + 1}", fit_batch.submit(refs, fits))
            for number, (refs, fits) in enumerate(divide_fits(made, params))
        ]
        done, lost = sort_out(run, batches)
        if not done:
            raise InvalidInputError(f"no task of fits came to its end: {lost}")
        page = params.report.model_copy(update={"failures": failures | lost})
        report = write_batch_report.submit(tuple(ref for _, ref in done), page)
        return run.finish({"trials": made[0][1], BATCH: done[0][1], "report": report})


def _check_names(sessions: list[Session]) -> None:
    times = Counter(session.label for session in sessions)
    if several := [name for name, n in times.items() if n > 1]:
        raise InvalidInputError(
            f"{times[several[0]]} sessions are called {several[0]}, so that their fits could not "
            "be told apart; give each a name of its own (name, in the list for --sessions)"
        )


def _cuts(params: ChangepointBatchParams) -> list[TrialsParams]:
    sizes = params.bin_sizes_s or (params.trials.bin_size_s,)
    return [params.trials.model_copy(update={"bin_size_s": size}) for size in sizes]


def sort_out(
    run: Run, submitted: list[tuple[str, Made]]
) -> tuple[list[tuple[str, ArtifactRef]], dict[str, str]]:
    """Wait for all; return what was made, and the reasons of what failed, by name."""
    made, failures = [], {}
    for name, future in submitted:
        if isinstance(future, ArtifactRef):
            made.append((name, future))
        elif run.is_made(future):
            made.append((name, future.result()))
        else:
            error = future.result(raise_on_failure=False)
            reason = first_line(error) if isinstance(error, Exception) else str(future.state.name)
            failures[name] = reason
    return made, failures


def divide_fits(
    made: list[tuple[str, ArtifactRef]], params: ChangepointBatchParams
) -> Iterator[tuple[tuple[ArtifactRef, ...], BatchParams]]:
    """Yield the trials and the settings of each task, in an order that new sessions only extend."""
    settings = params.grid.settings(params.changepoint)
    fits = [(place, one) for place in range(len(made)) for one in settings]
    for start in range(0, len(fits), params.fits_per_task):
        part = fits[start : start + params.fits_per_task]
        used = sorted({place for place, _ in part})
        yield (
            tuple(made[place][1] for place in used),
            BatchParams(
                sources=tuple(made[place][0] for place in used),
                places=tuple(used.index(place) for place, _ in part),
                fits=tuple(one for _, one in part),
            ),
        )
