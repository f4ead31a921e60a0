"""CPU time of our network simulator against NEST: same wiring, same delays, same drive, one thread.

Run ``OMP_NUM_THREADS=1 python benchmarks/bench_network.py [n_units] [seconds] [repeats]``. Both
simulate the very same synapses in the same process, by turns. Our figure holds all that
`simulate_network` does after the wiring is drawn: drive, kernel, collecting the spikes. NEST's
holds `Simulate` alone, after its network is built and prepared. Left out on both sides are drawing
or building the network, the first 0.2 s (which holds our compile time) and 1 s of warm-up.
"""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import nest
import numpy as np

from connflow.recording.network import (
    NetworkParams,
    draw_synapses,
    membrane_of,
    run_network,
)


def build_nest_network(params: NetworkParams) -> Any:
    """Build the network with NEST's own Poisson drive on one thread; return its recorder."""
    nest.ResetKernel()
    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.resolution, nest.local_num_threads = 0.1, 1
    membrane, synapses = membrane_of(params), draw_synapses(params)
    model = {"C_m": 1.0, "E_L": 0.0, "V_m": 0.0, "tau_m": 1e3 * params.tau_membrane_s}
    model |= {"V_th": membrane.threshold, "V_reset": membrane.reset}
    units = nest.Create("iaf_psc_delta", params.n_units, {**model, "t_ref": 2.0})
    sources = np.repeat(np.arange(params.n_units), np.diff(synapses.starts)) + 1
    how = {"weight": synapses.weights, "delay": np.round(synapses.delay_steps * 0.1, 1)}
    nest.Connect(sources, synapses.targets + 1, "one_to_one", how)
    drive = nest.Create("poisson_generator", params={"rate": params.external_rate_hz})
    nest.Connect(drive, units, syn_spec={"weight": params.external_weight_mv, "delay": 0.1})
    recorder = nest.Create("spike_recorder")
    nest.Connect(units, recorder)
    return recorder


def measure_cpu_s(work: Callable[[], object]) -> float:
    """Return the CPU seconds of this process that the work takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main(n_units: int = 1000, seconds: float = 5.0, repeats: int = 5) -> None:
    """Measure both by turns and print CPU seconds a biological second, best and median."""
    params = NetworkParams(n_units=n_units, duration_s=seconds, warmup_s=0.0)
    synapses = draw_synapses(params)
    run_network(params.model_copy(update={"duration_s": 0.2}), synapses)  # compile
    recorder = build_nest_network(params)
    nest.Simulate(1_000.0)
    recorder.n_events = 0
    ours, theirs = [], []
    for _ in range(repeats):
        ours.append(measure_cpu_s(lambda: run_network(params, synapses)) / seconds)
        theirs.append(measure_cpu_s(lambda: nest.Simulate(1e3 * seconds)) / seconds)
    our_rate = len(run_network(params, synapses)[0]) / n_units / seconds
    nest_rate = recorder.n_events / n_units / seconds / repeats
    print(f"N = {n_units}, {len(synapses.targets)} synapses, {repeats} runs of {seconds:g} s each")
    print(f"{'CPU s per biological s':<24}{'best':>9}{'median':>9}{'rate, Hz':>10}")
    for name, times, rate in (("connflow", ours, our_rate), ("NEST", theirs, nest_rate)):
        print(f"{name:<24}{min(times):9.4f}{statistics.median(times):9.4f}{rate:10.2f}")
    best, median = min(theirs) / min(ours), statistics.median(theirs) / statistics.median(ours)
    print(f"{'NEST / connflow':<24}{best:9.1f}{median:9.1f}")


if __name__ == "__main__":
    main(*(kind(a) for kind, a in zip((int, float, int), sys.argv[1:], strict=False)))
