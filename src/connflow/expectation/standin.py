"""A simulated network that stands in for the recording."""

from pydantic import Field

from connflow.params import StepParams
from connflow.recording.network import NetworkParams


class StandIn(StepParams):
    """A network, how long it is watched, and, for fluorescence, how its spikes are imaged."""

    network: NetworkParams = Field(description="The network that is simulated.")
    duration_factor: float = Field(description="Multiple of the recording's duration.")
    frame_rate_hz: float | None = Field(None, description="Frames a second; none for spikes.")
    tau_s: float | None = Field(None, description="Decay time constant of calcium, s.")
    noise_sd: float | None = Field(None, description="Noise over one spike's transient.")
