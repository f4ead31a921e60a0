"""The manifest: what an artifact is, and the whole record of how it was made."""

import functools
import hashlib
import importlib.metadata
import importlib.util
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1
CHECKSUM = "sha256"

_RECORDED_PACKAGES = (
    "connflow",
    "numpy",
    "scipy",
    "pandas",
    "xarray",
    "zarr",
    "numcodecs",
    "numba",
    "scikit-learn",
    "oasis-deconv",
    "pynwb",
    "prefect",
    "prefect-dask",
    "distributed",
)


class FileRecord(BaseModel):
    """Size and checksum of one file of an artifact."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: int
    checksum: str = Field(description="algorithm:hexadecimal digest")


class ArrayRecord(BaseModel):
    """Shape, type and unit of one variable of an artifact's datasets."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    units: str = ""


class Provenance(BaseModel):
    """How an artifact was derived: what goes into its key, and the source that ran."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(description="Version of the step's science.")
    params: dict[str, Any] = Field(
        description="The step's parameters, defaults spelled out."
    )
    inputs: dict[str, str] = Field(
        description="Refs of the inputs, or digests of outside files."
    )
    sources: dict[str, str] = Field(
        {}, description="Where inputs from outside were read."
    )
    source_digest: str = Field("", description="Digest of the step's source code.")


class Manifest(Provenance):
    """The experiment record of one artifact."""

    schema_version: int = SCHEMA_VERSION
    step: str
    key: str
    created: datetime = Field(default_factory=lambda: datetime.now(UTC))
    wall_time_s: float
    host: str = Field(default_factory=platform.node)
    packages: dict[str, str] = Field(default_factory=lambda: dict(package_versions()))
    git: dict[str, str | bool] | None = Field(default_factory=lambda: git_state())
    seed: int | None = None
    arrays: dict[str, ArrayRecord] = {}
    files: dict[str, FileRecord] = {}

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(record.bytes for record in self.files.values())


@functools.cache
def package_versions() -> Mapping[str, str]:
    """Return the versions of Python and of the packages that can change a result."""
    versions = {"python": platform.python_version()}
    for name in _RECORDED_PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


@functools.cache
def git_state() -> dict[str, str | bool] | None:
    """Return commit and dirtiness of the checkout connflow runs from; None outside of one."""
    here = Path(__file__).parent
    try:
        if _git(here, "ls-files", __file__) == "":
            return None
        return {
            "commit": _git(here, "rev-parse", "HEAD"),
            "dirty": _git(here, "status", "--porcelain") != "",
        }
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    return done.stdout.strip()


@functools.cache
def source_digest(module: str) -> str:
    """Return a digest over the source files of a module or package."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return ""
    origin = Path(spec.origin)
    files = (
        sorted(origin.parent.rglob("*.py"))
        if origin.name == "__init__.py"
        else [origin]
    )
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(origin.parent).as_posix().encode() + b"\0")
        digest.update(file.read_bytes())
    return digest.hexdigest()


def checksum(path: Path) -> str:
    """Return ``algorithm:digest`` of a file's content, read as a stream."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, CHECKSUM)
    return f"{CHECKSUM}:{digest.hexdigest()}"
