from .params import EVALUATION_VERSION, EvaluationParams
from .scores import Evaluation, evaluate, precision_at_density

__all__ = [
    "EVALUATION_VERSION",
    "Evaluation",
    "EvaluationParams",
    "evaluate",
    "precision_at_density",
]
