"""TSPE by elephant, and in what CPU time; run by a Python that has elephant.

Its own file, since elephant and connflow need not be installed together:
``python _elephant_tspe.py spikes.npz found.npz repeats``. Measured are the whole job, from spike
times on, and TSPE by itself.
"""

import sys
import time

import neo
import numpy as np
import quantities as pq
from elephant.conversion import BinnedSpikeTrain
from elephant.functional_connectivity import total_spiking_probability_edges


def main(spikes_path, found_path, repeats):
    """Infer with elephant's own settings; keep the best time of several."""
    given = np.load(spikes_path)
    n_ticks = int(given["n_ticks"])
    times = [given["spike_times"][given["units"] == unit] for unit in range(int(given["n_units"]))]
    cpu_s = []
    for _ in range(int(repeats)):
        started = time.process_time()
        trains = [neo.SpikeTrain(some * pq.s, t_stop=n_ticks * pq.ms) for some in times]
        binned = BinnedSpikeTrain(trains, bin_size=1 * pq.ms, t_start=0 * pq.ms, n_bins=n_ticks)
        is_binned = time.process_time()
        weight, delay = total_spiking_probability_edges(binned)
        cpu_s.append((time.process_time() - started, time.process_time() - is_binned))
    np.savez(found_path, weight=weight, delay=delay, cpu_s=cpu_s)


if __name__ == "__main__":
    main(*sys.argv[1:])
