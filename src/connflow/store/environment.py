"""Where a result was made: package versions, git state, and digests of source and files."""

import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

import xxhash

CHECKSUM = "xxh3_128"

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
    "distributed",
)


def node_name() -> str:
    """Return the name of this machine, as SLURM calls it inside of a job."""
    return os.environ.get("SLURMD_NODENAME") or platform.node() or "this machine"


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
    files = sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(origin.parent).as_posix().encode() + b"\0")
        digest.update(file.read_bytes())
    return digest.hexdigest()


def checksum_file(path: Path) -> str:
    """Return ``algorithm:digest`` of a file's content, read as a stream.

    XXH3 finds damage, five times faster than SHA-256; it is no defence against forgery.
    """
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return f"{CHECKSUM}:{digest.hexdigest()}"


def checksum_bytes(content: bytes) -> str:
    """Return the checksum that `checksum_file` gives for a file of this content."""
    return f"{CHECKSUM}:{xxhash.xxh3_128_hexdigest(content)}"
