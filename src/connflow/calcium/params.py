"""Parameters of the calcium step."""

from typing import ClassVar

from pydantic import Field

from connflow.params import StepParams

CALCIUM_VERSION = 1


class CalciumParams(StepParams):
    """First-order calcium dynamics with noise before and after the indicator."""

    presets: ClassVar = {
        "calnet": {
            "tau_s": 0.1,
            "amplitude": 1.0,
            "input_noise_sd": 0.01,
            "noise_sd": 1.0,
            "dropped_frames": 100,
        },
    }

    tau_s: float = Field(0.1, gt=0, description="Decay time constant of calcium, s.")
    amplitude: float = Field(1.0, gt=0, description="Jump of fluorescence at one spike, dF/F.")
    input_noise_sd: float = Field(
        0.0,
        ge=0,
        description="Noise added to the spike count of each frame, in spikes.",
    )
    noise_sd: float = Field(0.05, ge=0, description="Read noise of the fluorescence, dF/F.")
    dropped_frames: int = Field(
        0, ge=0, description="Frames left out at the start, while calcium builds up."
    )
    seed: int = Field(0, ge=0, description="Seed of the noise.")
