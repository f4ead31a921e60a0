"""From a recording to the wiring behind it: the connectivity flow."""

from typing import Annotated, Literal

from prefect import flow
from pydantic import Field

from connflow.binning import BinningParams
from connflow.calcium import CalciumParams
from connflow.connectivity import ConnectivityParams
from connflow.deconvolution import DeconvolutionParams
from connflow.evaluation import EvaluationParams
from connflow.params import StepParams
from connflow.recording.network import NetworkParams
from connflow.recording.params import RecordingParams
from connflow.report import ReportParams
from connflow.store import ArtifactRef
from flows.running.plan import PlannedRun
from flows.running.result import FlowResult
from flows.running.run import Run, name_run
from flows.running.runner import run_on
from tasks.binning import bin_spikes
from tasks.calcium import simulate_calcium
from tasks.connectivity import infer_connectivity as infer_weights
from tasks.deconvolution import deconvolve
from tasks.evaluation import evaluate_connectivity
from tasks.recording import read_recording, simulate_network
from tasks.report import write_report

INTERMEDIATE = ("binning", "calcium", "deconvolution")


class ConnectivityFlowParams(StepParams):
    """Parameters of the connectivity flow: the path through it, and a section per step."""

    path: Literal["auto", "spikes", "calcium", "fluorescence"] = Field(
        "auto",
        description="spikes: straight from spikes. calcium: spikes, then simulated calcium and "
        "deconvolution. fluorescence: recorded fluorescence, then deconvolution. auto: spikes or "
        "fluorescence, whichever was recorded.",
    )
    recording: RecordingParams = RecordingParams()
    binning: BinningParams = BinningParams()
    calcium: CalciumParams = CalciumParams()
    deconvolution: DeconvolutionParams = DeconvolutionParams()
    connectivity: ConnectivityParams = ConnectivityParams()
    evaluation: EvaluationParams = EvaluationParams()
    report: ReportParams = ReportParams()


Place = Annotated[str, Field(title="path or URL")]


@flow(name="infer-connectivity", flow_run_name=name_run, persist_result=False)
def infer_connectivity(
    recording: NetworkParams | Place | ArtifactRef = NetworkParams(),
    params: ConnectivityFlowParams = ConnectivityFlowParams(),
    profile: str = "local",
    store: str | None = None,
    drop_intermediate: bool = False,
) -> FlowResult:
    """Infer who drives whom from a recording, and report on it.

    Args:
        recording: What to infer from: parameters of a network to simulate, the path or URL of a
            recording, or the ref of a recording artifact.
        params: The path through the flow, and a section per step.
        profile: Where tasks are executed: a profile's name, or the path of a YAML file.
        store: Root of the artifact store; `$CONNFLOW_STORE` or `./store` if None.
        drop_intermediate: Drop the bytes of binning, calcium and deconvolution once the run has
            succeeded. Their records stay; a later run that needs the bytes makes them again.
    """  # Google's style, unlike elsewhere: from it Prefect takes the descriptions in the run form
    with run_on(profile, store) as run:
        source = _recording(run, recording, params.recording)
        held = run.look_into(source)
        path = held.attrs["signal"] if params.path == "auto" else params.path
        counts = fluorescence = feed = scores = None

        if path in ("spikes", "calcium"):
            counts = bin_spikes.submit(source, params.binning)
        if path == "calcium":
            fluorescence = simulate_calcium.submit(counts, params.calcium)
        if path != "spikes":
            feed = deconvolve.submit(fluorescence or source, params.deconvolution)
        weights = infer_weights.submit(feed or counts, params.connectivity)
        if "weights" in held:
            scores = evaluate_connectivity.submit(weights, source, params.evaluation)
        traces = source if path == "fluorescence" else fluorescence
        page = write_report.submit(source, weights, traces, feed, scores, params.report)

        return run.finish(
            {
                "recording": source,
                "binning": counts,
                "calcium": fluorescence,
                "deconvolution": feed,
                "connectivity": weights,
                "evaluation": scores,
                "report": page,
            },
            dropped=INTERMEDIATE if drop_intermediate else (),
        )


def _recording(
    run: Run | PlannedRun, recording: NetworkParams | ArtifactRef | str, params: RecordingParams
) -> ArtifactRef:
    if isinstance(recording, ArtifactRef):
        return recording
    if isinstance(recording, NetworkParams):
        return run.wait("recording", simulate_network.submit(recording))
    return run.wait("recording", read_recording.submit(recording, params))
