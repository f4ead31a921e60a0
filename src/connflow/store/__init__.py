"""Artifacts: immutable results, addressed by how they were derived, openable without connflow.

Layout of a store, under its root (a folder or any fsspec URL)::

    <step>/<key>/manifest.json    the experiment record; present in every finished artifact
    <step>/<key>/*.zarr           labelled arrays: ``xarray.open_zarr``
    <step>/<key>/*.parquet        tables: ``pandas.read_parquet``
    <step>/<key>/result.json      Prefect's cache record, written by Prefect
    <step>/<key>/dropped.json     what was manifest.json, after the files were dropped
    .staging/                     work in progress; nothing here is an artifact
"""

from connflow.store.collect import Removed, collect_garbage, drop_bytes
from connflow.store.lineage import diff, downstream, upstream
from connflow.store.manifest import Manifest, Provenance
from connflow.store.ref import ArtifactRef, derive_key
from connflow.store.store import Store, default_store_root
from connflow.store.writer import ArtifactWriter, Block, Variable

ArtifactRef.__module__ = __name__  # cache records name the class by its public place

__all__ = [
    "ArtifactRef",
    "ArtifactWriter",
    "Block",
    "Manifest",
    "Provenance",
    "Removed",
    "Store",
    "Variable",
    "collect_garbage",
    "default_store_root",
    "derive_key",
    "diff",
    "downstream",
    "drop_bytes",
    "upstream",
]
