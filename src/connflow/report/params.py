"""Parameters of the report step: what the page is called and how much it shows."""

from pydantic import Field

from connflow.params import StepParams

REPORT_VERSION = 1


class ReportParams(StepParams):
    """What the report shows. Nothing here changes a number, only how much is drawn."""

    title: str = Field(
        "Inferred connectivity", min_length=1, max_length=200, description="Title of the page."
    )
    raster_s: float = Field(
        10.0,
        gt=0,
        le=3600,
        description="Seconds of spikes and of traces that are drawn, from the start on.",
    )
    n_raster_units: int = Field(
        100, ge=1, le=2000, description="Most units in the raster; more are thinned evenly."
    )
    n_trace_units: int = Field(
        6, ge=1, le=30, description="Most units whose fluorescence and activity are drawn."
    )
    max_matrix_units: int = Field(
        300,
        ge=2,
        le=2000,
        description="Most units along a side of a drawn matrix; more are thinned evenly, never "
        "averaged.",
    )
