"""Parameters of the recording step when it simulates a bursting culture."""

from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from connflow.params import StepParams

CULTURE_VERSION = 1
STEPS_PER_SECOND = 10_000
TIME_STEP_S = 1 / STEPS_PER_SECOND


class CultureParams(StepParams):
    """A culture of excitatory units that bursts, and the camera that watches it.

    Notes
    -----
    A rested synapse gives `weight_mean_mv` on average; each spike takes the share
    `release_fraction` of what it has left, and it recovers with `tau_recovery_s`
    (Tsodyks and Markram 1997, without facilitation). The number of connections of a unit does
    not grow with the number of units, so that cultures of 100 to 1000 units burst alike.
    """

    model_config = ConfigDict(title="simulated culture")

    source: Literal["culture"] = Field(
        "culture", description="Kind of recording: bursting culture."
    )
    n_units: int = Field(300, ge=2, le=5000, description="Number of units.")
    duration_s: float = Field(
        3600.0, ge=0.1, le=1e6, description="Length of the recording, s, in whole frames."
    )
    seed: int = Field(0, ge=0, description="Seed of places, wiring, drive and noise.")
    side_mm: float = Field(1.0, gt=0, description="Side of the square that units lie in, mm.")
    connections_per_unit: float = Field(
        12.0, gt=0, description="Mean number of outputs of a unit; fewer than units."
    )
    connection_length_mm: float = Field(
        0.2,
        gt=0,
        description="Distance at which the probability of a synapse has fallen to 1/e, mm, along "
        "a Gaussian; the shorter, the more clustered the wiring.",
    )
    weight_mean_mv: float = Field(5.0, gt=0, description="Mean size of a rested synapse, mV.")
    weight_log_sd: float = Field(
        0.3, ge=0, le=3, description="Standard deviation of the weights' logarithm."
    )
    release_fraction: float = Field(
        0.3, ge=0, lt=1, description="Share of a synapse's resources that one spike uses up."
    )
    tau_recovery_s: float = Field(
        5.0, gt=0, description="Time constant with which a synapse recovers, s."
    )
    delay_min_s: float = Field(0.001, ge=TIME_STEP_S, le=1, description="Shortest delay, s.")
    delay_max_s: float = Field(0.003, ge=TIME_STEP_S, le=1, description="Longest delay, s.")
    tau_membrane_s: float = Field(0.02, gt=0, le=10, description="Membrane time constant, s.")
    refractory_s: float = Field(0.005, ge=TIME_STEP_S, le=1, description="Dead time, s.")
    threshold_mv: float = Field(20.0, gt=0, description="Threshold, mV above rest and reset.")
    external_rate_hz: float = Field(
        300.0, ge=0, le=2e4, description="Rate of the Poisson input to each unit, Hz."
    )
    external_weight_mv: float = Field(1.55, ge=0, description="Size of one external event, mV.")
    warmup_s: float = Field(
        10.0, ge=0, le=1000, description="Start of the run that is thrown away, s."
    )
    frame_rate_hz: float = Field(50.0, gt=0, le=1000, description="Frames a second.")
    tau_calcium_s: float = Field(1.0, gt=0, description="Decay time constant of calcium, s.")
    calcium_per_spike_um: float = Field(50.0, gt=0, description="Rise of calcium at a spike, µM.")
    half_saturation_um: float = Field(
        300.0, gt=0, description="Calcium at which fluorescence is half its most, µM."
    )
    noise_sd: float = Field(
        0.03, ge=0, description="Noise of the fluorescence, as a share of its most."
    )
    scattering: float = Field(
        0.15, ge=0, le=1, description="Share of a neighbour's fluorescence at distance 0; 0: none."
    )
    scattering_length_mm: float = Field(
        0.05, gt=0, description="Distance at which scattered light has fallen to 1/e, mm."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.delay_max_s < self.delay_min_s:
            raise ValueError("delay_max_s must be at least delay_min_s")
        if self.connections_per_unit > self.n_units - 1:
            raise ValueError(
                f"connections_per_unit ({self.connections_per_unit:g}) must be fewer than the "
                f"other units ({self.n_units - 1})"
            )
        for name in ("delay_min_s", "delay_max_s", "refractory_s", "warmup_s"):
            steps = getattr(self, name) * STEPS_PER_SECOND
            if abs(steps - round(steps)) > 1e-3:
                raise ValueError(f"{name} must be a multiple of the time step of 0.0001 s")
        return self
