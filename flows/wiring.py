"""The steps from a recording to its wiring, which the recording and its stand-ins go alike."""

from typing import Literal

from prefect.futures import PrefectFuture
from pydantic import Field

from connflow.binning import BinningParams
from connflow.calcium import CalciumParams
from connflow.connectivity import ConnectivityParams
from connflow.deconvolution import DeconvolutionParams
from connflow.evaluation import EvaluationParams
from connflow.expectation import ExpectationParams
from connflow.params import StepParams
from connflow.recording.params import RecordingParams
from connflow.report import ReportParams
from connflow.store import ArtifactRef
from tasks.binning import bin_spikes
from tasks.calcium import simulate_calcium
from tasks.connectivity import infer_connectivity
from tasks.deconvolution import deconvolve
from tasks.evaluation import evaluate_connectivity

Made = PrefectFuture[ArtifactRef] | ArtifactRef
Steps = dict[str, Made | None]


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
    expectation: ExpectationParams = ExpectationParams()
    report: ReportParams = ReportParams()


def image(source: Made, params: ConnectivityFlowParams) -> Steps:
    """Submit the steps from spikes to simulated fluorescence."""
    counts = bin_spikes.submit(source, params.binning)
    return {"binning": counts, "calcium": simulate_calcium.submit(counts, params.calcium)}


def infer(
    activity: Made, params: ConnectivityFlowParams, is_imaged: bool
) -> tuple[Made | None, Made]:
    """Submit the steps from spikes or fluorescence to deconvolved activity, and who drives whom."""
    feed = None
    if is_imaged and not params.connectivity.reads_fluorescence:
        feed = deconvolve.submit(activity, params.deconvolution)
    return feed, infer_connectivity.submit(feed or activity, params.connectivity)


def score(weights: Made, source: Made, params: ConnectivityFlowParams) -> Made:
    """Submit the comparison with the recording's known wiring."""
    scores: Made = evaluate_connectivity.submit(weights, source, params.evaluation)
    return scores
