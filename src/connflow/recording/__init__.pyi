from .dataset import fluorescence_coords, recording_from_dataset, spikes_to_dataset
from .model import FluorescenceRecording, Recording, SpikeRecording, unit_table
from .params import RECORDING_VERSION, RecordingParams

__all__ = [
    "RECORDING_VERSION",
    "FluorescenceRecording",
    "Recording",
    "RecordingParams",
    "SpikeRecording",
    "fluorescence_coords",
    "recording_from_dataset",
    "spikes_to_dataset",
    "unit_table",
]
