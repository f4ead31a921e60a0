"""From trials to the changepoints in each of them: the changepoint flow."""

from prefect import flow

from connflow.changepoint import ChangepointParams, PageParams
from connflow.params import StepParams
from connflow.recording.params import RecordingParams
from connflow.store import ArtifactRef
from connflow.trials import TrialsParams
from flows.running.result import FlowResult
from flows.running.run import name_run
from flows.running.runner import run_on
from flows.trials import Place, Session, make_trials
from tasks.changepoint import fit_changepoints, write_fit_report


class ChangepointFlowParams(StepParams):
    """Parameters of the changepoint flow: a section per step."""

    recording: RecordingParams = RecordingParams()
    trials: TrialsParams = TrialsParams()
    changepoint: ChangepointParams = ChangepointParams()
    report: PageParams = PageParams()


@flow(name="infer-changepoints", flow_run_name=name_run, persist_result=False)
def infer_changepoints(
    trials: Place | ArtifactRef | None = None,
    recording: Place | ArtifactRef | None = None,
    events: Place | None = None,
    params: ChangepointFlowParams = ChangepointFlowParams(),
    profile: str = "local",
    store: str | None = None,
) -> FlowResult:
    """Find when a population goes from state to state in each trial, and report on it.

    Args:
        trials: Path or URL of trials (npz or zarr with spike_counts, blech_clust's HDF5), or the
            ref of a trials artifact.
        recording: Instead of trials, a recording of spikes to cut them from: its path or URL, or
            the ref of a recording artifact.
        events: Path or URL of the table of events to cut the recording around.
        params: A section per step.
        profile: Where tasks are executed: a profile's name, or the path of a YAML file.
        store: Root of the artifact store; `$CONNFLOW_STORE` or `./store` if None.
    """  # Google's style, unlike elsewhere: from it Prefect takes the descriptions in the run form
    with run_on(profile, store) as run:
        session = Session(trials=trials, recording=recording, events=events)
        cut = make_trials(run, session, params.recording, params.trials)
        fit = fit_changepoints.submit(cut, params.changepoint)
        report = write_fit_report.submit(cut, fit, params.report)
        return run.finish({"trials": cut, "changepoint": fit, "report": report})
