"""What the result on a recording of unknown wiring is worth: the same steps on simulated ones."""

from typing import Any

from connflow.binning import BinningParams
from connflow.calcium import CalciumParams
from connflow.expectation import StandIn
from connflow.store import ArtifactRef
from flows.running.plan import PlannedRun
from flows.running.run import Run
from flows.wiring import ConnectivityFlowParams, Steps, image, infer, score
from tasks.expectation import STAND_INS, foretell_accuracy, match_recording
from tasks.recording import simulate_network


def expect(
    run: Run | PlannedRun,
    source: ArtifactRef,
    weights: Any,
    path: str,
    params: ConnectivityFlowParams,
) -> Steps:
    """Foretell how well the wiring of a recording was found, from networks made like it.

    Parameters
    ----------
    run
        The run that we are in; a plan ends where the networks are not known yet.
    source
        The recording.
    weights
        What was inferred from it, as submitted; all else waits for it.
    path, params
        The way from recording to wiring, with what `auto` came to on this recording.
    """
    weights = run.wait("connectivity", weights)
    matching = run.wait("matching", match_recording.submit(source, params.expectation))
    contents = run.look_into(matching).attrs[STAND_INS]
    submitted = [_score_stand_in(StandIn.parse(content), path, params) for content in contents]
    scores = tuple(made for made in submitted if run.is_made(made))
    if not scores:
        return {"matching": matching, "expectation": None}
    foretold = foretell_accuracy.submit(weights, matching, scores, params.expectation)
    return {"matching": matching, "expectation": foretold}


def _score_stand_in(stand_in: StandIn, path: str, params: ConnectivityFlowParams) -> Any:
    """Submit the same steps with the same parameters on a network whose wiring is known."""
    source = simulate_network.submit(stand_in.network)
    if path == "fluorescence":
        assert stand_in.frame_rate_hz is not None
        camera = BinningParams(bin_size_s=1 / stand_in.frame_rate_hz)
        dye = CalciumParams(tau_s=stand_in.tau_s, noise_sd=stand_in.noise_sd)
        params = params.model_copy(update={"binning": camera, "calcium": dye})
    images = None if path == "spikes" else image(source, params)["calcium"]
    _, weights = infer(images or source, params, path != "spikes")
    return score(weights, source, params)
