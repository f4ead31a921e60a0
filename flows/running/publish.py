"""What a run has made as Prefect artifacts on the flow run, where the UI shows it."""

import base64
from collections.abc import Mapping

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from connflow.sizes import size
from connflow.store import ArtifactRef, Store
from tasks._pages import FIGURES, PAGE
from tasks._publish import best_effort, shapes

_SHOWN_STATES = {"Completed": "made", "Cached": "cached"}


def publish_steps(store: Store, refs: Mapping[str, ArtifactRef], states: Mapping[str, str]) -> None:
    """Attach a table of all artifacts of the current flow run, made or cached.

    Parameters
    ----------
    store
        Where they lie.
    refs
        The artifacts, by step.
    states
        The name of the state that each step came to; a step without one was given to the run.
    """
    with best_effort():
        create_table_artifact(
            [_row(store, step, ref, states.get(step)) for step, ref in refs.items()],
            key="steps",
            description="What each step made or found made.",
        )


def _row(store: Store, step: str, ref: ArtifactRef, state: str | None) -> dict[str, str]:
    manifest = store.manifest(ref)
    return {
        "step": step,
        "state": "given" if state is None else _SHOWN_STATES.get(state, state),
        "size": size(manifest.size_bytes),
        "seconds": f"{manifest.wall_time_s:.1f}",
        "made (UTC)": f"{manifest.created:%Y-%m-%d %H:%M:%S}",
        "artifact": f"{ref.step}/{ref.short}",
        "holds": ", ".join(f"{name}: {shape}" for name, shape in shapes(manifest).items()),
        "lies in": store.path(ref),
    }


def publish_report(store: Store, report: ArtifactRef, evaluation: ArtifactRef | None) -> None:
    """Attach score table, images and the link to the page to the current flow run."""
    with best_effort():
        page = store.path(report, PAGE)
        create_link_artifact(
            f"file://{page}" if store.is_local else page,
            link_text=page,
            key="report-page",
            description="The report of this run.",
        )
        if evaluation is not None:
            _publish_scores(store, evaluation)
        create_markdown_artifact(
            _images(store, report), key="figures", description="The figures of the report."
        )


def _publish_scores(store: Store, evaluation: ArtifactRef) -> None:
    scores = store.read_table(evaluation)
    rows = scores.astype({"value": object, "chance": object}).where(scores.notna(), None)
    create_table_artifact(
        [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")],
        key="scores",
        description="Scores against the known wiring.",
    )


def _images(store: Store, report: ArtifactRef) -> str:
    names = sorted(name for name in store.manifest(report).files if name.startswith(f"{FIGURES}/"))
    return "\n\n".join(
        f"### {name.removeprefix(f'{FIGURES}/').removesuffix('.png').replace('_', ' ')}\n\n"
        f"![{name}](data:image/png;base64,"
        f"{base64.b64encode(store.read_file(report, name)).decode()})"
        for name in names
    )
