"""Parameters of the evaluation step."""

from pydantic import Field

from connflow.params import StepParams

EVALUATION_VERSION = 1


class EvaluationParams(StepParams):
    """How inferred connectivity is judged."""

    false_discovery_rate: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="Nominal rate at which the real share of false edges is given.",
    )
    n_curve_points: int = Field(400, ge=2, description="Most points that are kept of each curve.")
