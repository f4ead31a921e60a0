"""Parameters of the deconvolution step."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from connflow.params import StepParams

DECONVOLUTION_VERSION = 1


class DeconvolutionParams(StepParams):
    """How activity is recovered from fluorescence."""

    presets: ClassVar = {"calnet": {"method": "savgol", "window_frames": 31, "polyorder": 2}}

    method: Literal["auto", "savgol", "oasis"] = Field(
        "auto",
        description="savgol: feed signal from a Savitzky-Golay smooth and slope, linear, best at "
        "low signal to noise. oasis: sparse non-negative spike estimate. auto: by the regime of "
        "the fluorescence.",
    )
    tau_s: float | None = Field(
        None,
        gt=0,
        description="Decay time constant, s; estimated from the fluorescence if empty.",
    )
    per_unit_tau: bool = Field(
        False,
        description="Use each unit's own estimate instead of the median over units.",
    )
    window_frames: int = Field(
        5, ge=3, description="Length of the Savitzky-Golay window, frames; odd."
    )
    polyorder: int = Field(2, ge=1, description="Degree of the Savitzky-Golay polynomial.")

    @model_validator(mode="after")
    def _check_window(self) -> Self:
        if self.window_frames % 2 == 0:
            raise ValueError(f"window_frames must be odd, not {self.window_frames}")
        if self.polyorder >= self.window_frames:
            raise ValueError(
                f"polyorder ({self.polyorder}) must be smaller than window_frames "
                f"({self.window_frames})"
            )
        return self
