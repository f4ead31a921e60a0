"""A store written by each earlier version opens with today's code.

Version 1 was made by the recording, binning and connectivity tasks on a network of four units.
"""

from pathlib import Path

import pytest

from connflow.store import Store, derive_key
from connflow.store.manifest import SCHEMA_VERSION

STORES = sorted((Path(__file__).parents[2] / "data").glob("store-v*"))


def test_there_is_a_store_of_every_schema():
    assert [int(store.name.removeprefix("store-v")) for store in STORES] == list(
        range(1, SCHEMA_VERSION + 1)
    )


@pytest.mark.parametrize("folder", STORES, ids=lambda path: path.name)
def test_old_store_opens(folder):
    store = Store(folder)
    refs = {ref.step: ref for ref in store.list_refs()}
    assert set(refs) == {"recording", "binning", "connectivity"}
    for ref in refs.values():
        assert store.verify(ref) == []
        manifest = store.manifest(ref)
        work = (manifest.step, manifest.version, manifest.params, manifest.inputs)
        assert derive_key(*work) == ref.key
    recording, counts = store.open(refs["recording"]), store.open(refs["binning"])
    assert recording["weights"].dims == ("source", "target")
    assert int(counts["spike_counts"].sum()) == recording.sizes["spike"]
    assert store.open(refs["connectivity"])["z"].shape == (4, 4)
    assert len(store.read_table(refs["recording"], "units")) == 4
