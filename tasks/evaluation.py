"""Evaluation: scores of inferred connectivity against the recording's known wiring."""

from connflow import connectivity as connectivities
from connflow import evaluation
from connflow.errors import InvalidInputError
from connflow.evaluation import EVALUATION_VERSION, EvaluationParams
from connflow.store import ArtifactRef, ArtifactWriter, Store
from tasks._step import step


@step("evaluation", EVALUATION_VERSION)
def evaluate_connectivity(
    store: Store,
    artifact: ArtifactWriter,
    connectivity: ArtifactRef,
    recording: ArtifactRef,
    params: EvaluationParams,
) -> None:
    """Score inferred connectivity against the wiring that came with the recording."""
    source = store.open_dataset(recording)
    if "weights" not in source:
        raise InvalidInputError(
            "evaluation: this recording comes without a known wiring; add `weights` to its file"
        )
    found = store.open_dataset(connectivity)
    if "n_pairs" in found:  # of very many units: no matrices were made, but the truth is one
        found = connectivities.scatter_edges(found, store.read_table(connectivity, "edges"))
    result = evaluation.evaluate(found, source["weights"], params)
    artifact.write_table(result.scores)
    artifact.write_table(result.curves, "curves")
