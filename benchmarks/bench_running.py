"""What running costs apart from the science: importing, starting a flow, and each of its tasks.

Rows: CPU time to import the flows, beside a script that only defines an empty Prefect flow; wall
time of a flow of one task that does nothing, in a fresh process, without a server (Prefect starts
one), with one, and on one SLURM job; tasks a second of a flow of 200, for tasks that do nothing,
for steps that make an artifact of one small file, and for those whose artifact is there. The server
is not counted in CPU time. SLURM is the one this shell is on, else one that is started here.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from prefect.testing.utilities import prefect_test_harness

from benchmarks._measure import print_header, print_table
from benchmarks._slurm import slurm_environment, write_profile

PREFECT = "from prefect import flow, task; flow(lambda: None, name='x'); task(lambda: None)"
N_TASKS = 200
REPEATS = 5
SERVER_TIMEOUT_S = 200
TASK_FLOW = """
import json, sys, time
from prefect import flow, task
from connflow.params import StepParams
from flows.running.runner import run_on
from tasks._step import step

class NoParams(StepParams):
    index: int = 0

@task(persist_result=False)
def nothing(params: NoParams) -> None:
    pass

@step("nothing", 1, package="connflow.params")
def small_artifact(store, artifact, params: NoParams) -> None:
    artifact.write_file("nothing.txt", b"")

@flow(persist_result=False)
def many(kind: str, n_tasks: int, profile: str, store: str) -> float:
    with run_on(profile, store):
        one = {"task": nothing, "step": small_artifact}[kind]
        began = time.perf_counter()
        for future in [one.submit(NoParams(index=index)) for index in range(n_tasks)]:
            future.result()
        return time.perf_counter() - began

if __name__ == "__main__":
    for arguments in json.loads(sys.argv[1]):
        began = time.perf_counter()
        tasks_s = many(**arguments)
        print("TOOK", time.perf_counter() - began, tasks_s)
"""


def main() -> None:
    """Measure all rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args()
    print_header("running: import, start, tasks")
    prefect_s, flows_s = (
        _import_cpu_s(PREFECT),
        _import_cpu_s(f"{PREFECT}; import flows.connectivity"),
    )
    print_table(
        ("import", "CPU s", "more than Prefect"),
        [
            ("Prefect, an empty flow and a task", f"{prefect_s:.2f}", ""),
            ("flows.connectivity", f"{flows_s:.2f}", f"{flows_s - prefect_s:.2f}"),
        ],
    )
    with tempfile.TemporaryDirectory(prefix="connflow-bench-") as place:
        folder = Path(place)
        (folder / "task_flow.py").write_text(TASK_FLOW)
        starts = [("no server", _wall_s(folder, "local", {"PREFECT_HOME": str(folder / "home")}))]
        with prefect_test_harness(server_startup_timeout=SERVER_TIMEOUT_S):
            from prefect.settings import PREFECT_API_URL

            server = {"PREFECT_API_URL": str(PREFECT_API_URL.value())}
            starts.append(("server, threads", _wall_s(folder, "local", server)))
            with slurm_environment() as slurm:
                if slurm is None:
                    print("SLURM NOT MEASURED: there is none here, and none can be started")
                else:
                    profile = str(write_profile(folder, 1))
                    starts.append(
                        ("server, one SLURM job", _wall_s(folder, profile, server | slurm))
                    )
            rates = _rates(folder, server)
        rows = [(name, *(f"{part:.1f}" for part in parts)) for name, parts in starts]
        print_table(("a flow of one task", "flow s", "with the process s"), rows)
        print_table((f"a flow of {N_TASKS}, threads", "tasks/s"), rates)


def _import_cpu_s(code: str) -> float:
    """Return the least CPU time of a fresh process, of several."""
    return min(_child_cpu_s([sys.executable, "-c", code]) for _ in range(REPEATS))


def _child_cpu_s(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _wall_s(folder: Path, profile: str, environment: Mapping[str, str]) -> tuple[float, float]:
    """Return the seconds of a flow of one task, and of the process around it."""
    began = time.perf_counter()
    ((flow_s, _),) = _run(folder, environment, [_arguments(folder, "task", 1, profile)])
    return flow_s, time.perf_counter() - began


def _rates(folder: Path, environment: Mapping[str, str]) -> list[tuple[str, str]]:
    kinds = ("task", "task", "step", "step")  # the first one warms up
    runs = _run(folder, environment, [_arguments(folder, kind, N_TASKS) for kind in kinds])
    names = ("", "tasks that do nothing", "steps that make an artifact", "steps that find theirs")
    return [
        (name, f"{N_TASKS / tasks_s:.0f}")
        for name, (_, tasks_s) in zip(names, runs, strict=True)
        if name
    ]


def _arguments(
    folder: Path, kind: str, n_tasks: int, profile: str = "local"
) -> dict[str, str | int]:
    return {"kind": kind, "n_tasks": n_tasks, "profile": profile, "store": str(folder / "store")}


def _run(
    folder: Path, environment: Mapping[str, str], calls: list[dict[str, str | int]]
) -> list[tuple[float, float]]:
    """Call the flow in a fresh process; return seconds of the flow, and of its tasks, each."""
    quiet = {
        "PYTHONPATH": str(folder),
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    without = {name: text for name, text in os.environ.items() if name != "PREFECT_API_URL"}
    done = subprocess.run(
        [sys.executable, str(folder / "task_flow.py"), json.dumps(calls)],
        env=without | quiet | environment,
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    )
    took = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("TOOK")]
    return [(float(flow_s), float(tasks_s)) for flow_s, tasks_s in took]


if __name__ == "__main__":
    main()
