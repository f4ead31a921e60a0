"""Parameters of the connectivity step."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from connflow.params import StepParams

CONNECTIVITY_VERSION = 3

MethodName = Literal[
    "auto",
    "kernel_regression",
    "lagged_regression",
    "ccg",
    "transfer_entropy",
    "correlation",
    "partial_correlation",
    "sutera",
    "innovation_regression",
    "gte",
    "glm",
    "tspe",
]

READS_FLUORESCENCE = ("sutera", "innovation_regression", "gte")
"""Methods that deconvolve, or filter, by themselves."""

Lag = Annotated[int, Field(ge=0)]


class ConnectivityParams(StepParams):
    """How connectivity is inferred from activity."""

    presets: ClassVar = {
        "calnet": {"method": "lagged_regression", "lags": [10], "ridge": 0.0},
        "calcinet": {"method": "lagged_regression", "lags": [1], "ridge": 0.0},
    }

    method: MethodName = Field(
        "auto",
        description="auto: by data kind, signal to noise and bursts. Multivariate: "
        "kernel_regression (spikes, feed signals), lagged_regression, partial_correlation, glm "
        "(spikes); innovation_regression (fluorescence). Pairwise: ccg, transfer_entropy, tspe "
        "(spikes), correlation; gte (fluorescence). sutera: filters and averaged partial "
        "correlations (fluorescence).",
    )
    resolution_s: float | None = Field(
        None,
        gt=0,
        description="Grid on which spike times are compared, s; if empty the recording's own for "
        "kernel_regression, and 1 ms, or the recording's own where that is coarser, for others.",
    )
    delay_min_s: float = Field(0.001, ge=0, description="Shortest synaptic delay looked for, s.")
    delay_max_s: float = Field(0.01, gt=0, description="Longest synaptic delay looked for, s.")
    kernel_start_s: float | None = Field(
        None,
        ge=0,
        description="kernel_regression: start of the kernel, s; chosen by held-out likelihood if "
        "empty.",
    )
    kernel_stop_s: float | None = Field(
        None,
        gt=0,
        description="kernel_regression: end of the kernel, s; chosen by held-out likelihood if "
        "empty.",
    )
    kernel_heights: tuple[float, ...] | None = Field(
        None,
        description="kernel_regression: heights of the kernel over its windows of delays, as the "
        "attribute kernel_heights of a result holds them; learned if empty.",
    )
    lags: tuple[Lag, ...] = Field(
        (1,),
        min_length=1,
        description="lagged_regression and correlation: delays in bins (or frames).",
    )
    ridge: float = Field(
        0.001,
        ge=0,
        description="Regressions: ridge penalty, as a share of each feature's own variance.",
    )
    lasso: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="lagged_regression: lasso penalty, as a share of the least one at which all "
        "weights are 0; together with ridge an elastic net.",
    )
    dale: bool = Field(
        False,
        description="Give each source one sign (Dale's rule); what contradicts it becomes 0.",
    )
    null_law: Literal["empirical", "surrogate", "both", "normal"] = Field(
        "empirical",
        description="What z is compared with for p-values. empirical: the bulk of z itself. "
        "surrogate: the same pair in surrogate data. both: a pair must stand out of both. "
        "normal: the standard normal.",
    )
    n_surrogates: int = Field(
        20,
        ge=3,
        description="null_law=surrogate or both: surrogate recordings; spikes jittered, traces "
        "shifted in a circle.",
    )
    jitter_s: float = Field(
        0.025,
        gt=0,
        description="null_law=surrogate or both: each spike moves by less than this, s.",
    )
    false_discovery_rate: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="Expected share of false edges among those called significant.",
    )
    n_bootstrap: int = Field(
        0,
        ge=0,
        description="Regressions: resamples of blocks of time for 95 % intervals of the weights; "
        "100 is good, 0: none.",
    )
    n_candidates: int = Field(
        2000,
        ge=2,
        description="infer_edges: sources that are regressed on together for each target, those "
        "with the strongest pairwise influence.",
    )
    seed: int = Field(0, ge=0, description="Seed of surrogates and resamples.")

    @property
    def reads_fluorescence(self) -> bool:
        """Whether the method takes fluorescence as it is, rather than deconvolved."""
        return self.method in READS_FLUORESCENCE

    @model_validator(mode="after")
    def _check_delays(self) -> Self:
        start, stop = self.kernel_start_s, self.kernel_stop_s
        if start is not None and stop is not None and stop < start:
            raise ValueError(
                f"kernel_stop_s ({stop:g}) must not be shorter than kernel_start_s ({start:g})"
            )
        if self.delay_max_s < self.delay_min_s:
            raise ValueError(
                f"delay_max_s ({self.delay_max_s:g}) must not be shorter than delay_min_s "
                f"({self.delay_min_s:g})"
            )
        if len(set(self.lags)) < len(self.lags):
            raise ValueError(f"lags holds a delay twice: {list(self.lags)}")
        if self.method == "lagged_regression" and 0 in self.lags:
            raise ValueError(
                "lags must be at least 1 for lagged_regression: at lag 0 every unit predicts itself"
            )
        return self
