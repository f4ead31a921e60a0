"""Parameters of the binning step."""

from pydantic import Field

from connflow.params import StepParams

BINNING_VERSION = 1


class BinningParams(StepParams):
    """How spikes are counted."""

    bin_size_s: float = Field(
        0.001,
        gt=0,
        description="Width of a bin, s; bins are half-open and start at t_start.",
    )
