"""What a flow returns: refs of what it made, and how to open it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from connflow.errors import ArtifactNotFoundError
from connflow.store import ArtifactRef, Store
from tasks._pages import PAGE

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


@dataclass(frozen=True)
class FlowResult:
    """The artifacts of a finished run.

    Parameters
    ----------
    refs : mapping of step word to ArtifactRef
        What the run made or found made.
    store : Store
        Where it lies.
    """

    refs: Mapping[str, ArtifactRef]
    store: Store

    def open(self, step: str) -> "xr.Dataset | pd.DataFrame":
        """Open a step's artifact: a labelled dataset, or a table.

        Raises
        ------
        ArtifactNotFoundError
            If the run had no such step.
        """
        return self.store.open(self._ref(step))

    def path(self, step: str) -> str:
        """Return the folder of a step's artifact."""
        return self.store.path(self._ref(step))

    @property
    def report(self) -> str:
        """Path of the report page."""
        return self.store.path(self._ref("report"), PAGE)

    def _ref(self, step: str) -> ArtifactRef:
        if step not in self.refs:
            raise ArtifactNotFoundError(
                f"this run has no step {step!r}; it has {', '.join(self.refs)}"
            )
        return self.refs[step]
