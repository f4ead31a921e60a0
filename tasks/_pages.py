"""Where the pages of reports lie in their artifacts, and how they are written."""

from collections.abc import Mapping

from connflow.store import ArtifactWriter

PAGE = "report.html"
FIGURES = "figures"


def write_page(artifact: ArtifactWriter, html: str, figures: Mapping[str, bytes]) -> None:
    """Write a page, and beside it its figures (PNG) by name."""
    artifact.write_file(PAGE, html.encode())
    for name, image in figures.items():
        artifact.write_file(f"{FIGURES}/{name}.png", image)
