"""Parameters of the trials step."""

from typing import Self

from pydantic import Field, model_validator

from connflow.params import StepParams

TRIALS_VERSION = 1


class TrialsParams(StepParams):
    """How activity is cut into trials, or trials are read."""

    bin_size_s: float | None = Field(
        None,
        gt=0,
        description="Width of a bin, s; 0.01 where a recording is cut, and the file's own, or "
        "0.025 of blech_clust's spikes, where trials are read. Counts in a file are added up to a "
        "multiple of its bins.",
    )
    t_start: float | None = Field(
        None,
        description="Start of each trial relative to its event, s; 0 for recordings and "
        "blech_clust, all that a file holds for others.",
    )
    t_stop: float | None = Field(
        None, description="End of each trial relative to its event, s; needed for recordings."
    )
    names: dict[str, str] = Field(
        default_factory=dict,
        description="What the file calls our fields: {time_s: onset, condition: stimulus}.",
    )
    stimulus_s: float = Field(
        2.0, ge=0, description="blech_clust: when in the spike array the stimulus comes, s."
    )

    @model_validator(mode="after")
    def _check_window(self) -> Self:
        if self.t_start is not None and self.t_stop is not None and self.t_stop <= self.t_start:
            raise ValueError(
                f"t_stop ({self.t_stop:g}) must be later than t_start ({self.t_start:g})"
            )
        return self
