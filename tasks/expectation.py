"""Expectation: what a result is worth, from networks that stand in for the recording."""

from dataclasses import asdict

from connflow import expectation
from connflow import recording as recordings
from connflow.expectation import EXPECTATION_VERSION, ExpectationParams
from connflow.store import ArtifactRef, ArtifactWriter, Store
from connflow.store.lineage import inputs_of
from tasks._inputs import open_recording
from tasks._step import step

STAND_INS = "stand_ins"
ASSUMPTIONS = "assumptions"


@step("matching", EXPECTATION_VERSION, package="connflow.expectation")
def match_recording(
    store: Store, artifact: ArtifactWriter, recording: ArtifactRef, params: ExpectationParams
) -> None:
    """Choose networks that stand in for a recording: as many units, as active, of many wirings."""
    import xarray as xr

    measures = expectation.allow_for_regularity(_measure(store, recording), params)
    stand_ins = expectation.choose_stand_ins(measures, params)
    contents = [stand_in.model_dump(mode="json") for stand_in in stand_ins]
    artifact.write_dataset(xr.Dataset(attrs={"measures": asdict(measures), STAND_INS: contents}))


@step("expectation", EXPECTATION_VERSION)
def foretell_accuracy(
    store: Store,
    artifact: ArtifactWriter,
    connectivity: ArtifactRef,
    matching: ArtifactRef,
    evaluations: tuple[ArtifactRef, ...],
    params: ExpectationParams,
) -> None:
    """Foretell the scores of a result from those on the networks that stand in for its recording.

    `evaluations` are of the networks that `matching` names, or of some of them.
    """
    import pandas as pd

    matched = store.open_dataset(matching).attrs
    stand_ins = [expectation.StandIn.parse(content) for content in matched[STAND_INS]]
    results = [_judge(store, evaluation, stand_ins) for evaluation in evaluations]
    found = store.open_dataset(connectivity)
    look, n_found = expectation.look_at(found), expectation.count_found(found)
    artifact.write_table(expectation.foretell_scores(look, results, params.coverage, n_found))
    artifact.write_table(expectation.tabulate(results), STAND_INS)
    measures = expectation.Measures(**matched["measures"])
    texts = expectation.state_assumptions(measures, look, results, params)
    artifact.write_table(pd.DataFrame({"text": texts}), ASSUMPTIONS)


def _measure(store: Store, recording: ArtifactRef) -> "expectation.Measures":
    dataset = store.open_dataset(recording)
    if "fluorescence" in dataset:
        traces = dataset["fluorescence"].variable
        return expectation.measure_fluorescence(traces, dataset.attrs["frame_rate_hz"])
    spikes = open_recording(store, recording)
    assert isinstance(spikes, recordings.SpikeRecording)
    return expectation.measure_spikes(spikes)


def _judge(
    store: Store, evaluation: ArtifactRef, stand_ins: "list[expectation.StandIn]"
) -> "expectation.Judged":
    inputs = inputs_of(store.manifest(evaluation))
    simulated = store.manifest(inputs["recording"]).params
    return expectation.judge(
        next(one for one in stand_ins if one.network.model_dump(mode="json") == simulated),
        store.open_dataset(inputs["connectivity"]),
        store.open_dataset(inputs["recording"])["weights"],
        store.read_table(evaluation),
    )
