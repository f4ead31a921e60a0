"""CPU time of our network simulator against NEST: same wiring, same delays, same drive, one thread.

Run ``python -m benchmarks.bench_network [n_units] [seconds] [repeats]``. Both simulate the very
same synapses in the same process, by turns. Our figure holds all that `simulate_network` does after
the wiring is drawn: drive, kernel, collecting the spikes. NEST's holds `Simulate` alone, after its
network is built and prepared. Left out on both sides are drawing or building the network, the first
0.2 s (which holds our compile time) and 1 s of warm-up.
"""

import importlib
import os
import statistics
import sys
from typing import Any

import numpy as np

from benchmarks._measure import measure, print_header, print_table
from connflow.recording.network import (
    NetworkParams,
    draw_synapses,
    membrane_of,
    run_network,
)


def import_nest() -> Any:
    """Import NEST, without its banner and for one thread; None where it is not installed."""
    os.environ.update(PYNEST_QUIET="1", OMP_NUM_THREADS="1")
    try:
        return importlib.import_module("nest")
    except ImportError:
        return None


def build_nest_network(nest: Any, params: NetworkParams) -> Any:
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


def main(n_units: int = 1000, seconds: float = 5.0, repeats: int = 5) -> None:
    """Measure both by turns and print CPU seconds a biological second, best and median."""
    print_header(f"network simulation, {n_units} units: connflow against NEST, one thread")
    nest = import_nest()
    if nest is None:
        print("not measured: NEST is an extra, pip install 'connflow[nest]' on Python 3.11, Linux")
        return
    params = NetworkParams(n_units=n_units, duration_s=seconds, warmup_s=0.0)
    synapses = draw_synapses(params)
    run_network(params.model_copy(update={"duration_s": 0.2}), synapses)  # compile
    recorder = build_nest_network(nest, params)
    nest.Simulate(1_000.0)
    recorder.n_events = 0
    ours, theirs = [], []
    for _ in range(repeats):
        (spikes, _), cost = measure(lambda: run_network(params, synapses))
        ours.append(cost.cpu_s / seconds)
        theirs.append(measure(lambda: nest.Simulate(1e3 * seconds))[1].cpu_s / seconds)
    print(f"{len(synapses.targets)} synapses, {repeats} runs of {seconds:g} s each")
    _print_result(ours, len(spikes), theirs, recorder.n_events / repeats, n_units * seconds)


def _print_result(
    ours: list[float], our_spikes: float, theirs: list[float], nest_spikes: float, unit_s: float
) -> None:
    sides = (("connflow", ours, our_spikes), ("NEST", theirs, nest_spikes))
    rows = [
        (name, f"{min(times):.4f}", f"{statistics.median(times):.4f}", f"{n_spikes / unit_s:.2f}")
        for name, times, n_spikes in sides
    ]
    best, median = min(theirs) / min(ours), statistics.median(theirs) / statistics.median(ours)
    ratios = ("NEST / connflow", f"{best:.1f}", f"{median:.1f}", "")
    print_table(("CPU s per biological s", "best", "median", "rate, Hz"), [*rows, ratios])


if __name__ == "__main__":
    main(*(kind(a) for kind, a in zip((int, float, int), sys.argv[1:], strict=False)))
