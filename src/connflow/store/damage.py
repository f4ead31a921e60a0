"""What is said of an artifact that is not as it was written."""

from connflow.errors import ArtifactDamagedError
from connflow.store.ref import ArtifactRef


def damaged(ref: ArtifactRef, problem: str) -> ArtifactDamagedError:
    """Return the error that says what is wrong with an artifact, and what to do."""
    return ArtifactDamagedError(
        f"{ref} is damaged: {problem}. Run again with --repair to make it anew."
    )
