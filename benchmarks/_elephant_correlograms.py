"""What elephant counts, and in what CPU time; run by a Python that has elephant.

Its own file, since elephant and connflow need not be installed together:
``python _elephant_correlograms.py spikes.npz counts.npz``.
"""

import sys
import time

import neo
import numpy as np
import quantities as pq
from elephant.conversion import BinnedSpikeTrain
from elephant.spike_train_correlation import cross_correlation_histogram


def main(spikes_path, counts_path):
    """Count the pairs of trains given, by the faster of elephant's two algorithms."""
    given = np.load(spikes_path)
    ticks, units, pairs, lag = (given[name] for name in ("ticks", "units", "pairs", "lag"))
    trains = {unit: bin_train(ticks[units == unit], given["n_ticks"]) for unit in np.unique(pairs)}
    best = np.inf
    for method in ("speed", "memory"):
        started = time.process_time()
        counts = [
            cross_correlation_histogram(
                trains[source], trains[target], window=[-int(lag), int(lag)], method=method
            )[0].magnitude.ravel()
            for source, target in pairs
        ]
        best = min(best, time.process_time() - started)
    np.savez(counts_path, counts=np.array(counts), cpu_s=best)


def bin_train(ticks, n_ticks):
    """Put one train in bins of 1 ms, which hold counts."""
    train = neo.SpikeTrain((ticks + 0.5) * pq.ms, t_stop=float(n_ticks) * pq.ms)
    return BinnedSpikeTrain(train, bin_size=1 * pq.ms, t_start=0 * pq.ms, n_bins=int(n_ticks))


if __name__ == "__main__":
    main(*sys.argv[1:])
