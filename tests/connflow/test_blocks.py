"""Blocks with padding: every row once, neighbours where asked."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from connflow.blocks import padded_blocks


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(0, 12), st.integers(0, 12), st.integers(1, 15))
def test_padding_is_the_neighbours(length, before, after, size):
    rows = np.arange(length, dtype=np.float32)[:, None] * [1, 10]
    reads = []

    def read(part):
        reads.append(part)
        return rows[part].astype(np.float32)

    for block, values in padded_blocks(read, length, before, after, size):
        wanted = np.clip(np.arange(block.start - before, block.stop + after), 0, length - 1)
        np.testing.assert_array_equal(values, rows[wanted])
    seen = np.concatenate([np.arange(length)[part] for part in reads])
    assert seen.tolist() == list(range(length))
