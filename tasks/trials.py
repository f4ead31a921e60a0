"""Trials: activity around events, read from a file or cut from a recording."""

from connflow import recording as recordings
from connflow import trials
from connflow.errors import InvalidInputError
from connflow.store import ArtifactRef, ArtifactWriter, Store
from connflow.trials import TRIALS_VERSION, TrialsParams
from tasks._inputs import open_recording
from tasks._step import step


@step("trials", TRIALS_VERSION, run_name="{uri}")
def read_trials(
    store: Store, artifact: ArtifactWriter, uri: str, about: str | None, params: TrialsParams
) -> None:
    """Read trials from a file or folder.

    `about` is the file beside it that the reader looks into, too, so that its content counts.
    """
    _write(artifact, trials.read_trials(uri, params))


@step("trials", TRIALS_VERSION, run_name="around {events}")
def cut_trials(
    store: Store,
    artifact: ArtifactWriter,
    recording: ArtifactRef,
    events: str,
    params: TrialsParams,
) -> None:
    """Cut a recording of spikes into trials around events."""
    spikes = open_recording(store, recording)
    if not isinstance(spikes, recordings.SpikeRecording):
        raise InvalidInputError(
            "trials: this recording holds fluorescence, not spikes; only spikes are cut into trials"
        )
    _write(artifact, trials.cut_trials(spikes, trials.read_events(events, params.names), params))


def _write(artifact: ArtifactWriter, made: "trials.Trials") -> None:
    artifact.write_dataset(trials.trials_to_dataset(made))
    artifact.write_table(made.units, "units")
    artifact.write_table(made.table, "trials")
