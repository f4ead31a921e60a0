"""From a recording to the wiring behind it: the connectivity flow."""

from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from connflow.recording.network import NetworkParams
from connflow.recording.params import RecordingParams
from connflow.store import ArtifactRef
from flows.expectation import expect
from flows.regimes import settle
from flows.running.plan import PlannedRun
from flows.running.result import FlowResult
from flows.running.run import Run, name_run
from flows.running.runner import run_on
from flows.wiring import ConnectivityFlowParams as ConnectivityFlowParams
from flows.wiring import Steps, image, infer, score
from tasks.recording import join_recordings, read_recording, simulate_network
from tasks.report import write_report

INTERMEDIATE = ("binning", "calcium", "deconvolution")


Place = Annotated[str, Field(title="path or URL")]


@flow(name="infer-connectivity", flow_run_name=name_run, persist_result=False)
def infer_connectivity(
    recording: NetworkParams | Place | list[Place | ArtifactRef] | ArtifactRef = NetworkParams(),
    params: ConnectivityFlowParams = ConnectivityFlowParams(),
    profile: str = "local",
    store: str | None = None,
    drop_intermediate: bool = False,
) -> FlowResult:
    """Infer who drives whom from a recording, and report on it.

    Args:
        recording: What to infer from: parameters of a network to simulate, the path or URL of a
            recording (or several, of the same units), or the ref of a recording artifact.
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
        is_known, is_imaged = "weights" in held, path != "spikes"
        imaging: dict[str, Any] = image(source, params) if path == "calcium" else {}
        steps: Steps = {step: run.wait(step, made) for step, made in imaging.items()}
        activity = steps.get("calcium") or source
        if is_imaged:
            params, steps["regime"] = settle(run, activity, params)
        steps["deconvolution"], weights = infer(activity, params, is_imaged)
        steps["connectivity"] = weights
        if is_known:
            steps["evaluation"] = score(weights, source, params)
        if params.expectation.is_wanted(is_known):
            steps |= expect(run, source, weights, path, params)
        steps["report"] = write_report.submit(
            source,
            weights,
            activity if is_imaged else None,
            *(steps.get(name) for name in ("deconvolution", "evaluation", "regime", "expectation")),
            params.report,
        )
        return run.finish(
            {"recording": source, **steps}, dropped=INTERMEDIATE if drop_intermediate else ()
        )


def _recording(
    run: Run | PlannedRun,
    recording: NetworkParams | ArtifactRef | str | list[str | ArtifactRef],
    params: RecordingParams,
) -> ArtifactRef:
    if isinstance(recording, ArtifactRef):
        return recording
    if isinstance(recording, NetworkParams):
        return run.wait("recording", simulate_network.submit(recording))
    if isinstance(recording, str):
        return run.wait("recording", read_recording.submit(recording, params))
    parts = [_recording(run, one, params) for one in recording]
    return run.wait("joined", join_recordings.submit(parts))
