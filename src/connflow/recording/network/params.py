"""Parameters of the recording step when it simulates a network."""

from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from connflow.params import StepParams

NETWORK_VERSION = 1
STEPS_PER_SECOND = 10_000
TIME_STEP_S = 1 / STEPS_PER_SECOND


class NetworkParams(StepParams):
    """A balanced random network and how long to watch it.

    Notes
    -----
    A unit has on average ``K = connection_probability n_units`` inputs. At a mean rate r they
    give it a mean input of ``tau r weight_mean_mv K (f - (1 - f) g)`` mV, with f the
    `excitatory_fraction` and g the `inhibition_factor`, and a variance of
    ``tau / 2 r weight_mean_mv^2 exp(weight_log_sd^2) K (f + (1 - f) g^2)`` mV². The external drive
    sets the mean potential, ``tau external_rate_hz external_weight_mv`` mV, below threshold, so
    that fluctuations make the spikes. Keep ``g > f / (1 - f)``, or the network saturates.

    The defaults fire irregularly at 5 to 7 Hz from 100 to 1000 units. Their synapses suit K of
    about 30; `weight_mean_mv` does not follow `n_units` by itself. With larger K units
    synchronise, the mean pairwise correlation (5 ms) growing from 0.004 at 300 units to 0.02 at
    1000; ``weight_mean_mv = 0.8 sqrt(30 / K)``, 0.44 mV at 1000 units, keeps it below 0.005.
    """

    model_config = ConfigDict(title="simulated network")

    source: Literal["network"] = Field(
        "network", description="Kind of recording: simulated network."
    )
    n_units: int = Field(300, ge=2, le=20_000, description="Number of units.")
    duration_s: float = Field(
        600.0,
        ge=TIME_STEP_S,
        le=1e6,
        description="Length of the recording, s, in steps of 0.1 ms.",
    )
    seed: int = Field(0, ge=0, description="Seed of wiring and drive.")
    excitatory_fraction: float = Field(
        0.8,
        ge=0,
        le=1,
        description="Share of excitatory units; they come first.",
    )
    connection_probability: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Probability of a synapse for each ordered pair.",
    )
    fixed_in_degree: bool = Field(
        False,
        description="Give every unit the same number of excitatory and of inhibitory inputs, the "
        "rounded mean, as Brunel does, rather than a random number.",
    )
    weight_mean_mv: float = Field(
        0.8,
        gt=0,
        le=100,
        description="Mean size of an excitatory synapse, mV.",
    )
    weight_log_sd: float = Field(
        0.4,
        ge=0,
        le=3,
        description="Standard deviation of the weights' logarithm.",
    )
    inhibition_factor: float = Field(
        7.0,
        ge=0,
        le=100,
        description="Mean inhibitory over excitatory weight (g).",
    )
    delay_min_s: float = Field(
        0.001,
        ge=TIME_STEP_S,
        le=1,
        description="Shortest delay, s, in steps of 0.1 ms.",
    )
    delay_max_s: float = Field(
        0.003,
        ge=TIME_STEP_S,
        le=1,
        description="Longest delay, s, not shorter than delay_min_s, in steps of 0.1 ms.",
    )
    tau_membrane_s: float = Field(0.02, gt=0, le=10, description="Membrane time constant, s.")
    refractory_s: float = Field(
        0.002,
        ge=TIME_STEP_S,
        le=1,
        description="Dead time after a spike, s.",
    )
    threshold_mv: float = Field(20.0, gt=0, description="Threshold, mV above rest; above reset_mv.")
    reset_mv: float = Field(
        10.0, description="Potential after a spike, mV above rest, below threshold_mv."
    )
    external_rate_hz: float = Field(
        500.0,
        ge=0,
        le=2e4,
        description="Rate of the Poisson input to each unit, Hz.",
    )
    external_weight_mv: float = Field(
        1.4, ge=-100, le=100, description="Size of one external event, mV."
    )
    common_drive_sd: float = Field(
        0.0,
        ge=0,
        le=10,
        description="Standard deviation of a modulation of the external rate that all units "
        "share, as a share of the rate; 0: none.",
    )
    common_drive_tau_s: float = Field(
        0.1, gt=0, le=1000, description="Correlation time of the shared modulation, s."
    )
    observed_fraction: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of the units that are recorded, drawn at random; all are simulated.",
    )
    warmup_s: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="Start of the run that is thrown away, s.",
    )

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.reset_mv >= self.threshold_mv:
            raise ValueError("reset_mv must be below threshold_mv, or a unit never stops firing")
        if self.delay_max_s < self.delay_min_s:
            raise ValueError("delay_max_s must be at least delay_min_s")
        return self

    @model_validator(mode="after")
    def _check_grid(self) -> Self:
        for name in (
            "duration_s",
            "delay_min_s",
            "delay_max_s",
            "refractory_s",
            "warmup_s",
        ):
            steps = getattr(self, name) * STEPS_PER_SECOND
            if abs(steps - round(steps)) > 1e-3:
                raise ValueError(f"{name} must be a multiple of the time step of 0.0001 s")
        return self
