"""Regime: how clear a fluorescence is and whether its population bursts."""

from connflow import connectivity
from connflow.connectivity import CONNECTIVITY_VERSION
from connflow.errors import InvalidInputError
from connflow.store import ArtifactRef, ArtifactWriter, Store
from tasks._inputs import open_activity
from tasks._step import step


@step("regime", CONNECTIVITY_VERSION, package="connflow.connectivity")
def measure_regime(store: Store, artifact: ArtifactWriter, activity: ArtifactRef) -> None:
    """Measure what the choice of a method depends on."""
    import xarray as xr

    _, samples = open_activity(store, activity)
    if not isinstance(samples, connectivity.Traces):
        raise InvalidInputError(
            "regime: this recording holds spikes, not fluorescence; use path=spikes, or "
            "path=calcium to simulate its fluorescence"
        )
    regime = connectivity.measure_regime(samples)
    artifact.write_dataset(
        xr.Dataset(attrs={"regime": regime.name, "reason": regime.reason, **regime.measures})
    )
