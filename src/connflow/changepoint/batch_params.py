"""Parameters of many fits at once."""

from itertools import product

from pydantic import Field

from connflow.changepoint.params import ChangepointParams, EmissionName, SurrogateName
from connflow.errors import InvalidInputError
from connflow.params import StepParams

BATCH_VERSION = 2


class FitGrid(StepParams):
    """Which settings are gone through, every one with every other; an empty one is not varied."""

    n_states: tuple[int | None, ...] = Field(
        (2, 3, 4, 5, 6), description="Numbers of states; null: chosen by evidence."
    )
    regions: tuple[str | None, ...] = Field((), description="Regions; null: all units together.")
    surrogates: tuple[SurrogateName | None, ...] = Field(
        (), description="Surrogates; null: the trials as they were recorded."
    )
    emissions: tuple[EmissionName, ...] = Field((), description="What states say of a bin.")

    def settings(self, base: ChangepointParams) -> list[ChangepointParams]:
        """Return the settings of every point of the grid.

        Raises
        ------
        InvalidInputError
            If what is varied is set in `base` too, a point cannot be fitted, or `base` asks for
            what a batch does not make.
        """
        every: dict[str, tuple[object, ...]] = {
            "emission": self.emissions,
            "region": self.regions,
            "n_states": self.n_states,
            "surrogate": self.surrogates,
        }
        varied = {name: values for name, values in every.items() if values}
        usual = ChangepointParams()
        if both := [name for name in varied if getattr(base, name) != getattr(usual, name)]:
            raise InvalidInputError(
                f"changepoint.{both[0]} is set, but grid goes through values of it: leave one of "
                "them out (an empty list in grid varies nothing)"
            )
        if base.n_shuffles > 0:
            raise InvalidInputError(
                "changepoint.n_shuffles: many fits come without tests of responses; set it to 0, "
                "and test the fits of interest one by one (run changepoint)"
            )
        fixed = base.model_dump()
        return [
            ChangepointParams.parse(fixed | dict(zip(varied, values, strict=True)))
            for values in product(*varied.values())
        ]


class BatchParams(StepParams):
    """Fits of one task."""

    sources: tuple[str, ...] = Field(description="Name of each input.")
    places: tuple[int, ...] = Field(description="For each fit, which of the inputs it is of.")
    fits: tuple[ChangepointParams, ...] = Field(description="Settings of each fit.")
