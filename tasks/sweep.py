"""Sweep: table, figure and page of a finished sweep, as an artifact made from its trials."""

from connflow import sweep
from connflow.store import ArtifactRef, Provenance, Store, derive_key
from connflow.store.environment import source_digest
from connflow.sweep import SWEEP_VERSION, SweepRecord
from tasks._pages import FIGURES, PAGE

WORD = "sweep"
FIGURE = f"{FIGURES}/score_by_parameter.png"


def write_sweep(store: Store, record: SweepRecord) -> ArtifactRef:
    """Write what came out of a sweep; one that came out the same before is left as it is.

    No `@step`: what it is made from is known only when all trials are through, and it is as many
    artifacts as there are trials.
    """
    provenance = Provenance(
        version=SWEEP_VERSION,
        params=record.identity,
        inputs=record.sources,
        source_digest=source_digest("connflow.sweep"),
    )
    key = derive_key(WORD, SWEEP_VERSION, provenance.params, provenance.inputs)
    ref = ArtifactRef(step=WORD, key=key)
    with store.claim(ref) as is_to_be_made:
        if is_to_be_made:
            _write(store, ref, provenance, record)
    return ref


def _write(store: Store, ref: ArtifactRef, provenance: Provenance, record: SweepRecord) -> None:
    table = sweep.tabulate(record)
    figure = sweep.draw_sweep(table, record.params)
    with store.create(ref, provenance) as artifact:
        artifact.write_table(table)
        artifact.write_file(FIGURE, figure)
        artifact.write_file(PAGE, sweep.render_page(table, figure, record.params).encode())
