"""Elephant's own TSPE, run in a Python that has elephant, which our environment need not.

The program named by ``CONNFLOW_ELEPHANT_PYTHON`` is called; without it elephant's answer is absent.

References
----------
De Blasi S, Ciba M, Bahmer A, Thielemann C (2019). Total spiking probability edges: a
cross-correlation based method for effective connectivity estimation of cortical spiking neurons.
Journal of Neuroscience Methods 312:169-181.
"""

import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.accuracy.answer import Answer
from connflow.recording.model import SpikeRecording

MOST_CELLS = 2e8
"""Units times bins of 1 ms: elephant holds several dense arrays of that size."""

PROGRAM = """
import sys
import neo, numpy as np, quantities as pq
from elephant.conversion import BinnedSpikeTrain
from elephant.functional_connectivity import total_spiking_probability_edges
given = np.load(sys.argv[1])
end = float(given["duration_s"])
trains = [
    neo.SpikeTrain(given["times"][given["units"] == unit], units="s", t_start=0.0, t_stop=end)
    for unit in range(int(given["n_units"]))
]
binned = BinnedSpikeTrain(trains, bin_size=1 * pq.ms, tolerance=1e-6)
weights, _ = total_spiking_probability_edges(binned)
np.save(sys.argv[2], weights)
"""


def python() -> str | None:
    """Return the Python that has elephant, if one is named."""
    return os.environ.get("CONNFLOW_ELEPHANT_PYTHON")


def is_feasible(recording: SpikeRecording) -> bool:
    """Return whether elephant is there and the recording fits into its memory."""
    return bool(python()) and recording.n_units * recording.duration_s * 1000 <= MOST_CELLS


def infer(recording: SpikeRecording) -> Answer:
    """Call elephant with its defaults: bins of 1 ms, delays to 25 ms.

    Its rows are targets (as found: planted synapses are read back so, and not the other way).
    """
    program = python()
    assert program is not None
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder, "given.npz"), Path(folder, "found.npy")
        np.savez(
            given,
            times=recording.spike_times - recording.t_start,
            units=recording.spike_units,
            n_units=recording.n_units,
            duration_s=recording.duration_s,
        )
        subprocess.run([program, "-c", PROGRAM, given, found], check=True, stderr=subprocess.PIPE)
        weights = np.load(found).T
    return Answer(z=weights, weight=weights, mask=None, notes={})
