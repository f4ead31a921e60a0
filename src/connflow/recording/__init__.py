"""Recordings: spikes or fluorescence of a population, read from files or simulated.

In: a file, a folder, or the parameters of a network. Out: a `SpikeRecording` or a
`FluorescenceRecording`, checked once and for all.
"""

from connflow.recording.model import FluorescenceRecording, Recording, SpikeRecording
from connflow.recording.params import RECORDING_VERSION, RecordingParams

__all__ = [
    "RECORDING_VERSION",
    "FluorescenceRecording",
    "Recording",
    "RecordingParams",
    "SpikeRecording",
]
