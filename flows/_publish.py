"""The report's tables and images as Prefect artifacts on the run, where the UI shows them."""

import base64

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from connflow.store import ArtifactRef, Store
from tasks.report import FIGURES, PAGE


def publish_report(store: Store, report: ArtifactRef, evaluation: ArtifactRef | None) -> None:
    """Attach score table, images and the link to the page to the current flow run."""
    page = store.path(report, PAGE)
    link = f"file://{page}" if store.is_local else page
    create_link_artifact(link, link_text="report", description="The report of this run.")
    if evaluation is not None:
        scores = store.read_table(evaluation)
        rows = scores.astype({"value": object, "chance": object}).where(scores.notna(), None)
        create_table_artifact(
            [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")],
            key="scores",
            description="Scores against the known wiring.",
        )
    create_markdown_artifact(_images(store, report), key="figures", description="The figures.")


def _images(store: Store, report: ArtifactRef) -> str:
    names = sorted(name for name in store.manifest(report).files if name.startswith(f"{FIGURES}/"))
    return "\n\n".join(
        f"### {name.removeprefix(f'{FIGURES}/').removesuffix('.png').replace('_', ' ')}\n\n"
        f"![{name}](data:image/png;base64,"
        f"{base64.b64encode(store.read_file(report, name)).decode()})"
        for name in names
    )
