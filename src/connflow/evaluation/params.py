"""Parameters of the evaluation step."""

from pydantic import Field

from connflow.params import StepParams

EVALUATION_VERSION = 2


class EvaluationParams(StepParams):
    """How inferred connectivity is judged."""

    n_curve_points: int = Field(400, ge=2, description="Most points that are kept of each curve.")
