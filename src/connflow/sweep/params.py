"""Parameters of a sweep: which flow, over what, and what counts as better."""

from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from connflow.params import StepParams

SWEEP_VERSION = 1

N_TRIALS = 20


class Range(StepParams):
    """Numbers from low to high, both included."""

    low: float = Field(description="Smallest value.")
    high: float = Field(description="Largest value.")
    log: bool = Field(False, description="Spread evenly over orders of magnitude.")
    step: float | None = Field(None, gt=0, description="Only low, low + step, low + 2 step, ...")
    integer: bool = Field(False, description="Whole numbers only.")

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low ({self.low:g}) must be below high ({self.high:g})")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log needs low above 0, and goes without step")
        numbers = (self.low, self.high, self.step or 1.0)
        if self.integer and not all(number.is_integer() for number in numbers):
            raise ValueError("an integer range needs integers as low, high and step")
        return self

    @property
    def ends(self) -> tuple[int, int] | tuple[float, float]:
        """Lowest and highest value, as integers where the values are."""
        return (int(self.low), int(self.high)) if self.integer else (self.low, self.high)


Choices = Annotated[tuple[JsonValue, ...], Field(min_length=1)]
Space = dict[str, Choices | Range]
"""For each dotted name what it may be: a list of values, or a range."""


class SweepParams(StepParams):
    """How a flow is swept."""

    flow: str = Field(
        "infer-connectivity",
        description="Name of a flow of connflow, or the dotted path of a flow "
        "(flows.connectivity.infer_connectivity).",
    )
    over: Space = Field(
        min_length=1,
        description="What is varied: dotted name into the flow's arguments "
        "(params.connectivity.ridge), and a list of values, or a range {low, high, log, step, "
        "integer}.",
    )
    method: Literal["grid", "random", "optuna"] = Field(
        "grid",
        description="grid: every combination. random: independent draws. optuna: each trial is "
        "chosen by the scores so far (TPE).",
    )
    n_trials: int | None = Field(
        None, ge=1, description=f"random and optuna: number of trials; {N_TRIALS} if empty."
    )
    seed: int = Field(0, ge=0, description="random and optuna: seed of the draws.")
    score: str | None = Field(
        None,
        pattern=r"^\w+\.\w+$",
        description="What tells good from bad: step and score, evaluation.auroc. Without one, "
        "the flow is run for each point and nothing is the best.",
    )
    direction: Literal["maximize", "minimize"] = Field(
        "maximize", description="Whether a higher or a lower score is better."
    )
    max_parallel: int = Field(2, ge=1, description="Most trials at the same time.")
    on_failure: Literal["continue", "stop"] = Field(
        "continue",
        description="continue: a trial that fails is recorded with its reason, the others go on. "
        "stop: the first failure ends the sweep.",
    )
    study: str | None = Field(
        None,
        description="optuna: file that keeps the study; <store>/.studies/<key>.log if empty.",
    )

    @model_validator(mode="after")
    def _check_method(self) -> Self:
        if self.method == "optuna" and self.score is None:
            raise ValueError("method optuna needs a score to go by, such as evaluation.auroc")
        if self.method == "grid" and self.n_trials is not None:
            raise ValueError("a grid has as many trials as combinations; leave n_trials out")
        for name, values in self.over.items():
            if self.method == "grid" and isinstance(values, Range) and values.step is None:
                raise ValueError(f"over.{name}: a grid needs a list of values, or a step")
        return self
