"""Wall and CPU time of the demo through the whole flow, made anew and then all cached.

Parameters are those of ``params.yaml`` in the repository; without that file, the defaults of the
network and the flow. The store is temporary. A Prefect server is started first, which is not
counted, nor is the server's own CPU time. The first run is charged for what it loads late (figures,
numba kernels, which are compiled where no earlier run has left them in the cache).
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import yaml
from prefect.testing.utilities import prefect_test_harness

from benchmarks._measure import Cost, measure, print_header, print_table
from connflow.recording.network import NetworkParams
from flows.connectivity import ConnectivityFlowParams, infer_connectivity
from flows.running.result import FlowResult

PARAMS_FILE = Path(__file__).parents[1] / "params.yaml"
SERVER_TIMEOUT_S = 200
TARGETS_S = (60.0, 3.0)


def main() -> None:
    """Run the flow twice, and print both runs and the steps of the first."""
    network, params = _read_demo()
    print_header(f"demo flow: {network.n_units} units, {network.duration_s:g} s")
    origin = PARAMS_FILE.name if PARAMS_FILE.exists() else "defaults, as there is no params.yaml"
    print(f"parameters: {origin}; path: {params.path}")
    with (
        tempfile.TemporaryDirectory(prefix="connflow-bench-") as store,
        prefect_test_harness(server_startup_timeout=SERVER_TIMEOUT_S),
    ):
        run = _demo_run(network, params, store)
        (result, first), (again, second) = measure(run), measure(run)
        assert again.refs == result.refs, "the second run made other artifacts than the first"
        _print_runs(first, second)
        _print_steps(result)


def _read_demo() -> tuple[NetworkParams, ConnectivityFlowParams]:
    values = yaml.safe_load(PARAMS_FILE.read_text()) if PARAMS_FILE.exists() else {}
    network = NetworkParams.parse(values.pop("network", {}))
    return network, ConnectivityFlowParams.parse(values)


def _demo_run(
    network: NetworkParams, params: ConnectivityFlowParams, store: str
) -> Callable[[], FlowResult]:
    return lambda: infer_connectivity(network, params, store=store)


def _print_runs(*costs: Cost) -> None:
    rows = [
        (name, f"{cost.wall_s:.2f}", f"{target_s:g}", f"{cost.cpu_s:.2f}", f"{cost.peak_gb:.2f}")
        for name, cost, target_s in zip(("first run", "all cached"), costs, TARGETS_S, strict=True)
    ]
    print_table(("", "wall s", "target s", "CPU s", "peak GB so far"), rows)


def _print_steps(result: FlowResult) -> None:
    manifests = {step: result.store.manifest(ref) for step, ref in result.refs.items()}
    rows = [
        (step, f"{manifest.wall_time_s:.2f}", f"{manifest.size_bytes / 1e6:.1f}")
        for step, manifest in manifests.items()
    ]
    print_table(("step of the first run", "wall s", "MB stored"), rows)


if __name__ == "__main__":
    main()
