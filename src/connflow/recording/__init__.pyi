from .dataset import fluorescence_coords, recording_from_dataset, spikes_to_dataset
from .joining import join_recordings
from .model import FluorescenceRecording, Recording, SpikeRecording, unit_table
from .params import RECORDING_VERSION, RecordingParams

__all__ = [
    "RECORDING_VERSION",
    "FluorescenceRecording",
    "Recording",
    "RecordingParams",
    "SpikeRecording",
    "fluorescence_coords",
    "join_recordings",
    "recording_from_dataset",
    "spikes_to_dataset",
    "unit_table",
]
