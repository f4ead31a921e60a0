"""The manifest: what an artifact is, and the whole record of how it was made."""

import platform
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from connflow.store.environment import git_state, package_versions

SCHEMA_VERSION = 1


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
    params: dict[str, Any] = Field(description="The step's parameters, defaults spelled out.")
    inputs: dict[str, str] = Field(description="Refs of the inputs, or digests of outside files.")
    sources: dict[str, str] = Field({}, description="Where inputs from outside were read.")
    source_digest: str = Field("", description="Digest of the step's source code.")


class Manifest(Provenance):
    """The experiment record of one artifact."""

    schema_version: int = SCHEMA_VERSION
    step: str
    key: str
    folder: str = Field("", description="Folder below the artifact's that holds its files.")
    created: datetime = Field(default_factory=lambda: datetime.now(UTC))
    wall_time_s: float
    host: str = Field(default_factory=platform.node)
    packages: dict[str, str] = Field(default_factory=lambda: dict(package_versions()))
    git: dict[str, str | bool] | None = Field(default_factory=git_state)
    seed: int | None = None
    arrays: dict[str, ArrayRecord] = {}
    files: dict[str, FileRecord] = {}

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(record.bytes for record in self.files.values())
