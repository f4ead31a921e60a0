"""Parameters of many fits at once."""

from collections.abc import Iterator
from itertools import product

from pydantic import Field

from connflow.changepoint.params import ChangepointParams, EmissionName, SurrogateName
from connflow.params import StepParams

BATCH_VERSION = 1


class FitGrid(StepParams):
    """Which settings are gone through; every one with every other."""

    n_states: tuple[int | None, ...] = Field(
        (2, 3, 4, 5, 6), min_length=1, description="Numbers of states; null: chosen by evidence."
    )
    regions: tuple[str | None, ...] = Field(
        (None,), min_length=1, description="Regions; null: all units together."
    )
    surrogates: tuple[SurrogateName | None, ...] = Field(
        (None,), min_length=1, description="Surrogates; null: the trials as they were recorded."
    )
    emissions: tuple[EmissionName, ...] = Field(
        ("poisson",), min_length=1, description="What states say of a bin."
    )

    def settings(self, base: ChangepointParams) -> Iterator[ChangepointParams]:
        """Yield the settings of every point of the grid."""
        for emission, region, n_states, surrogate in product(
            self.emissions, self.regions, self.n_states, self.surrogates
        ):
            varied = {
                "emission": emission,
                "region": region,
                "n_states": n_states,
                "surrogate": surrogate,
            }
            yield ChangepointParams.parse(base.model_dump() | varied)


class BatchParams(StepParams):
    """Fits of one task."""

    sources: tuple[str, ...] = Field(description="Name of each input.")
    places: tuple[int, ...] = Field(description="For each fit, which of the inputs it is of.")
    fits: tuple[ChangepointParams, ...] = Field(description="Settings of each fit.")
