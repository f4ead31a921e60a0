"""Parameters of the connectivity step."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from connflow.params import StepParams

CONNECTIVITY_VERSION = 1

Lag = Annotated[int, Field(ge=0)]


class ConnectivityParams(StepParams):
    """How connectivity is inferred from activity."""

    presets: ClassVar = {
        "calnet": {"method": "lagged_regression", "lags": [10], "ridge": 0.0},
    }

    method: Literal["kernel_regression", "lagged_regression", "correlation"] = Field(
        "kernel_regression",
        description="kernel_regression: multivariate, one kernel over the window of synaptic "
        "delays. lagged_regression: multivariate, each lag by itself. correlation: pairwise.",
    )
    kernel_start_s: float = Field(
        0.001, ge=0, description="kernel_regression: shortest delay of the kernel, s."
    )
    kernel_stop_s: float = Field(
        0.01, gt=0, description="kernel_regression: longest delay of the kernel, s."
    )
    lags: tuple[Lag, ...] = Field(
        (1,),
        min_length=1,
        description="lagged_regression and correlation: delays in bins (or frames).",
    )
    ridge: float = Field(
        0.001,
        ge=0,
        description="Ridge penalty, as a share of each feature's own variance.",
    )

    @model_validator(mode="after")
    def _check_delays(self) -> Self:
        if self.kernel_stop_s < self.kernel_start_s:
            raise ValueError(
                f"kernel_stop_s ({self.kernel_stop_s:g}) must not be shorter than kernel_start_s "
                f"({self.kernel_start_s:g})"
            )
        if len(set(self.lags)) < len(self.lags):
            raise ValueError(f"lags holds a delay twice: {list(self.lags)}")
        if self.method == "lagged_regression" and 0 in self.lags:
            raise ValueError(
                "lags must be at least 1 for lagged_regression: at lag 0 every unit predicts itself"
            )
        return self
