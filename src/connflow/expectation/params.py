"""Parameters of the expectation step: which networks stand in for a recording."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from connflow.params import StepParams

EXPECTATION_VERSION = 2

Share = Annotated[float, Field(gt=0, le=1)]
Spread = Annotated[float, Field(gt=0, le=3)]
Factor = Annotated[float, Field(gt=0, le=100)]

RANGES = (
    "connection_probability",
    "synapse_scale",
    "weight_log_sd",
    "inhibition",
    "excitatory_fraction",
)
"""What is assumed of the wiring, each from a least to a greatest value."""


class ExpectationParams(StepParams):
    """What simulated networks stand in for the recording, to tell what its result is worth."""

    when: Literal["unknown_wiring", "always", "never"] = Field(
        "unknown_wiring",
        description="unknown_wiring: only where there is no known wiring to score against.",
    )
    n_networks: int = Field(
        10, ge=5, le=100, description="Simulated networks, each of another wiring."
    )
    observed_fraction: float = Field(
        0.25,
        gt=0,
        le=1,
        description="Share of the units of the local network that the recording sees; the rest is "
        "simulated and hidden. 1 for a small network that is seen whole.",
    )
    connection_probability: tuple[Share, Share] = Field(
        (0.05, 0.2),
        description="Least and greatest probability of a synapse; the networks are spread between "
        "them, evenly in logarithm.",
    )
    synapse_scale: tuple[Factor, Factor] = Field(
        (0.4, 1.6),
        description="Least and greatest synaptic size, as a multiple of 0.8 mV sqrt(30 / K), with "
        "K the mean number of inputs; spread likewise.",
    )
    weight_log_sd: tuple[Spread, Spread] = Field(
        (0.2, 0.8),
        description="Least and greatest standard deviation of the weights' logarithm; spread "
        "likewise.",
    )
    inhibition: tuple[Factor, Factor] = Field(
        (1.25, 2.25),
        description="Least and greatest strength of inhibition, as a multiple of that which "
        "balances excitation; spread likewise.",
    )
    excitatory_fraction: tuple[Share, Share] = Field(
        (0.7, 0.9), description="Least and greatest share of excitatory units; spread likewise."
    )
    duration_factors: tuple[Factor, ...] = Field(
        (1.0, 2.0),
        min_length=1,
        description="Durations for which scores are foretold, as multiples of the recording's own.",
    )
    coverage: float = Field(
        0.9,
        gt=0,
        lt=1,
        description="Probability with which an interval is to hold the score of one more network.",
    )
    min_units: int = Field(
        30, ge=10, description="Fewest observed units of a network, however few were recorded."
    )
    max_units: int = Field(
        1000,
        ge=30,
        le=20_000,
        description="Most units of a network, unobserved ones included; limits the cost.",
    )
    max_duration_s: float = Field(
        7200.0,
        gt=1,
        le=1e6,
        description="Longest simulated recording, s; limits the cost.",
    )
    seed: int = Field(0, ge=0, le=2**31, description="Seed of the first network.")

    def is_wanted(self, is_known: bool) -> bool:
        """Whether there is to be an expectation, the wiring being known or not."""
        return self.when == "always" or (self.when == "unknown_wiring" and not is_known)

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        for name in RANGES:
            low, high = getattr(self, name)
            if high < low:
                raise ValueError(f"{name} must give the lower limit first, not {low:g}, {high:g}")
        if 1.0 not in self.duration_factors:
            raise ValueError("duration_factors must hold 1, the recording's own duration")
        if self.max_units * self.observed_fraction < self.min_units:
            raise ValueError(
                f"max_units ({self.max_units}) times observed_fraction "
                f"({self.observed_fraction:g}) must be at least min_units ({self.min_units})"
            )
        return self
