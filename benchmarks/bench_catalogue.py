"""Time to find artifacts in a store of 10 000, and to look at it for the first time.

Run ``python -m benchmarks.bench_catalogue [n_artifacts] [repeats]``. The store holds manifests as a
run writes them, of 20 files each, in chains of recording, binning, connectivity and evaluation; the
files themselves are left out. Reading all manifests with ``json`` alone is the yardstick.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks._measure import print_header, print_table
from connflow.store import ArtifactRef, Manifest, Store, collect_garbage, derive_key
from connflow.store.manifest import FileRecord

_FILES = {
    f"data.zarr/x/c/{n}/0": FileRecord(bytes=1000, checksum=f"xxh3_128:{n:032x}") for n in range(20)
}


def fill(root: Path, n_artifacts: int) -> None:
    """Write the manifests of chains of four artifacts, each chain with a recording of its own."""
    for chain in range(n_artifacts // 4):
        recording = _write(root, "recording", {"seed": chain}, {"source": f"{chain:064x}"})
        binning = _write(root, "binning", {"bin_size_s": 0.01}, {"recording": recording})
        params = {"method": "glm", "lags": [1, 2], "ridge": chain % 10 / 10, "n_jobs": None}
        weights = _write(root, "connectivity", params, {"activity": binning})
        _write(root, "evaluation", {}, {"connectivity": weights, "recording": recording})


def _write(root: Path, step: str, params: dict[str, object], inputs: dict[str, str]) -> str:
    ref = ArtifactRef(step=step, key=derive_key(step, 1, params, inputs))
    manifest = Manifest(
        version=1,
        params=params,
        inputs=inputs,
        source_digest="0" * 64,
        step=step,
        key=ref.key,
        wall_time_s=1.0,
        files=_FILES,
    )
    folder = root / str(ref)
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(manifest.model_dump_json(indent=2))
    return str(ref)


def read_all(root: Path) -> int:
    """Read every manifest, as one would without a catalogue."""
    return sum(len(json.loads(path.read_bytes())) for path in root.glob("*/*/manifest.json"))


def main(n_artifacts: int = 10_000, repeats: int = 5) -> None:
    """Measure and print wall seconds, best and median, and the ratio to reading all manifests."""
    print_header(f"catalogue of {n_artifacts} artifacts on disk")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
        root = Path(folder) / "store"
        fill(root, n_artifacts)
        store = Store(root)
        wanted = {"connectivity.ridge": 0.1}
        first = _times(store.find, 1)
        works = {
            "every manifest read": lambda: read_all(root),
            "find()": store.find,
            "find(step)": lambda: store.find("connectivity"),
            "find(step, params upstream)": lambda: store.find("evaluation", wanted),
            "gc --keep-last 1 --dry-run": lambda: collect_garbage(store, 1, dry_run=True),
        }
        times = {name: _times(work, repeats) for name, work in works.items()}
        _print_result({"find(), first scan": first} | times)


def _times(work: Callable[[], object], repeats: int) -> list[float]:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return times


def _print_result(times: dict[str, list[float]]) -> None:
    yardstick = min(times["every manifest read"])
    rows = [
        (name, f"{min(t):.3f}", f"{statistics.median(t):.3f}", f"{yardstick / min(t):.1f}")
        for name, t in times.items()
    ]
    print_table(("wall s", "best", "median", "manifests read / this"), rows)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
