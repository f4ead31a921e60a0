"""Recording: spikes or fluorescence, read from a file or simulated, as an artifact."""

from typing import TYPE_CHECKING

from connflow import recording as recordings
from connflow.blocks import TIME_BLOCK, split
from connflow.recording import RECORDING_VERSION, RecordingParams, network, readers
from connflow.recording.network import NETWORK_VERSION, NetworkParams
from connflow.store import ArtifactRef, ArtifactWriter, Block, Store
from tasks._blocks import time_stream, time_variable, trace_variable
from tasks._inputs import open_recording
from tasks._step import step

if TYPE_CHECKING:
    import xarray as xr


@step("recording", RECORDING_VERSION, run_name="{uri}", package="connflow.recording")
def read_recording(
    store: Store, artifact: ArtifactWriter, uri: str, params: RecordingParams
) -> None:
    """Read a recording from a file or folder."""
    _write(artifact, readers.read_recording(uri, params))


@step("recording", NETWORK_VERSION, run_name="network of {params.n_units}")
def simulate_network(store: Store, artifact: ArtifactWriter, params: NetworkParams) -> None:
    """Simulate a network and record every unit, with the true wiring."""
    _write(artifact, network.simulate_network(params))


@step("recording", RECORDING_VERSION, run_name="joined", package="connflow.recording")
def join_recordings(store: Store, artifact: ArtifactWriter, parts: tuple[ArtifactRef, ...]) -> None:
    """Lay several recordings of the same units one after the other, with gaps between them."""
    _write(artifact, recordings.join_recordings([open_recording(store, part) for part in parts]))


def foresee_recording(
    params: NetworkParams | RecordingParams, uri: str | None = None
) -> "xr.Dataset":
    """Return what a recording will hold, without its data where that can be known without it."""
    if isinstance(params, NetworkParams):
        import xarray as xr

        return xr.Dataset({"weights": (("source", "target"), [[0]])}, attrs={"signal": "spikes"})
    assert uri is not None
    recording = readers.read_recording(uri, params)
    if isinstance(recording, recordings.FluorescenceRecording):
        return recordings.fluorescence_coords(recording)
    return recordings.spikes_to_dataset(recording)


def _write(artifact: ArtifactWriter, recording: "recordings.Recording") -> None:
    artifact.write_table(recording.units, "units")
    if isinstance(recording, recordings.FluorescenceRecording):
        _write_fluorescence(artifact, recording)
    else:
        artifact.write_dataset(recordings.spikes_to_dataset(recording))


def _write_fluorescence(
    artifact: ArtifactWriter, recording: "recordings.FluorescenceRecording"
) -> None:
    traces = recording.fluorescence
    coords = recordings.fluorescence_coords(recording)
    artifact.write_blocks(
        {
            "time": time_variable(len(traces)),
            "fluorescence": trace_variable(len(traces), recording.n_units, traces.dtype, "dF/F"),
        },
        [
            time_stream(len(traces), recording.t_start, 1 / recording.frame_rate_hz),
            (
                Block({"time": part}, {"fluorescence": traces[part]})
                for part in split(len(traces), TIME_BLOCK)
            ),
        ],
        coords=coords,
    )
