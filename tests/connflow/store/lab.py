"""Stores filled with small artifacts that were made from one another."""

import json
from datetime import UTC, datetime, timedelta

from connflow.store import ArtifactRef, Provenance, derive_key

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def make(store, step, params=None, inputs=None, version=1, content=b"bytes", digest=""):
    """Make an artifact with one file; inputs are refs, or texts that are digests."""
    named = {name: str(value) for name, value in (inputs or {}).items()}
    provenance = Provenance(
        version=version, params=params or {}, inputs=named, source_digest=digest
    )
    ref = ArtifactRef(step=step, key=derive_key(step, version, provenance.params, named))
    with store.create(ref, provenance) as artifact:
        artifact.write_file("data.bin", content)
    store.files.write(store.files.join(ref.step, ref.key, "result.json"), b"{}")
    return ref


def make_chain(store, bin_size_s=0.01, ridge=0.1, **other):
    """Make recording, binning, connectivity and evaluation; return their refs."""
    recording = make(store, "recording", {"seed": 1}, {"source": "0" * 64})
    binning = make(store, "binning", {"bin_size_s": bin_size_s}, {"recording": recording})
    params = {"lags": [1], "ridge": ridge, "prior": {"mean": 0.0}} | other
    connectivity = make(store, "connectivity", params, {"activity": binning})
    inputs = {"connectivity": connectivity, "recording": recording}
    return recording, binning, connectivity, make(store, "evaluation", {}, inputs)


def manifest_path(store, ref, name="manifest.json"):
    return store.files.join(ref.step, ref.key, name)


def edit_manifest(store, ref, **changes):
    """Change what a manifest says, as no run does."""
    path = manifest_path(store, ref)
    record = json.loads(store.files.read(path)) | changes
    store.files.write(path, json.dumps(record).encode())


def set_age(store, ref, days):
    """Make an artifact older than it is."""
    created = datetime.now(UTC) - timedelta(days=days)
    edit_manifest(store, ref, created=created.isoformat())


def files_of(store):
    return sorted(name for name, _ in store.files.find(store.files.root))
