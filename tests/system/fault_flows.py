"""A flow whose steps sleep, die, eat memory and fill disks, and note each time they are executed.

The notes lie beside the store, in ``executions.jsonl``: states tell what Prefect believes, the
notes what was done. `python -m fault_flows NAME JSON` runs the flow under a name,
`python -m fault_flows POOL` deploys it to a work pool.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.deployments.runner import EntrypointType

from connflow.params import StepParams
from connflow.store import ArtifactRef, ArtifactWriter, Store
from flows.running.runner import run_on
from tasks._step import step

NOTES = "executions.jsonl"
HURRY = "hurry"
NODE = "SLURMD_NODENAME"
DISKS = "disks"


class LinkParams(StepParams):
    """Where in its chain a step stands, and how long it takes."""

    chain: int
    link: int = 0
    seconds: float = 1.0


@step("pause", 1, run_name="{params.chain}.{params.link}", package="fault_flows")
def pause(
    store: Store, artifact: ArtifactWriter, before: ArtifactRef | None, params: LinkParams
) -> None:
    """Sleep, after the link before."""
    with _noted(store, f"pause {params.chain}.{params.link}"):
        _sleep(store, params.seconds)
        artifact.write_file("slept.txt", str(params.seconds).encode())


@step("die", 1, run_name="{params.chain}", package="fault_flows")
def die(store: Store, artifact: ArtifactWriter, params: LinkParams) -> None:
    """Kill the process that executes the step, each time."""
    with _noted(store, f"die {params.chain}"):
        artifact.write_file("half.txt", b"half")
        os.kill(os.getpid(), signal.SIGKILL)


@step("exhaust", 1, run_name="{params.chain}", package="fault_flows")
def exhaust(store: Store, artifact: ArtifactWriter, params: LinkParams) -> None:
    """Take memory, up to 4 GB, until somebody puts an end to it."""
    with _noted(store, f"exhaust {params.chain}"):
        artifact.write_file("half.txt", b"half")
        blocks = []
        while len(blocks) < 80:
            blocks.append(b"\1" * 50_000_000)
            time.sleep(0.1)


@step("fill", 1, run_name="{params.chain}", package="fault_flows")
def fill(store: Store, artifact: ArtifactWriter, params: LinkParams) -> None:
    """Write 1 MB to the local disk of the node."""
    with _noted(store, f"fill {params.chain}"):
        disk = Path(store.root).parent / DISKS / os.environ[NODE]
        (disk / f"scratch-{params.chain}").write_bytes(bytes(1_000_000))
        artifact.write_file("full.txt", b"it was not")


CULPRITS = {task.name: task for task in (die, exhaust, fill)}


@flow(name="fault-flow", persist_result=False)
def fault_flow(
    profile: str,
    store: str,
    chains: int = 4,
    length: int = 2,
    seconds: float = 1.0,
    culprits: dict[str, int] | None = None,
) -> list[str]:
    """Run chains of pauses, and so many of each of the culprits, all at once."""
    with run_on(profile, store):
        futures = [
            CULPRITS[name].submit(LinkParams(chain=index, seconds=seconds))
            for name, number in (culprits or {}).items()
            for index in range(number)
        ]
        ends: list[Any] = [None] * chains
        for link in range(length):
            ends = [
                pause.submit(before, LinkParams(chain=chain, link=link, seconds=seconds))
                for chain, before in enumerate(ends)
            ]
            futures += ends
        for future in futures:
            future.wait()
        return [str(future.result()) for future in futures]


def _sleep(store: Store, seconds: float) -> None:
    """Sleep, until there is a file `hurry` beside the store."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not (Path(store.root).parent / HURRY).exists():
        time.sleep(0.05)


@contextmanager
def _noted(store: Store, name: str) -> Iterator[None]:
    _note(store, name, "began")
    yield
    _note(store, name, "ended")


def _note(store: Store, name: str, event: str) -> None:
    """Append one line; lines this short are written whole, also by several processes at once."""
    note = {
        "step": name,
        "event": event,
        "node": os.environ.get(NODE, ""),
        "job": os.environ.get("SLURM_JOB_ID", ""),
        "pid": os.getpid(),
        "parent": os.getppid(),
        "time": time.time(),
    }
    with (Path(store.root).parent / NOTES).open("a") as file:
        file.write(json.dumps(note) + "\n")


def main(name: str, parameters: str = "") -> None:
    """Run the flow under a name; without parameters, deploy it to the work pool of this name."""
    if parameters:
        fault_flow.with_options(flow_run_name=name)(**json.loads(parameters))
        return
    deployment = fault_flow.to_deployment(
        name,
        work_pool_name=name,
        entrypoint_type=EntrypointType.MODULE_PATH,
        job_variables={"working_dir": "."},
    )
    deployment.apply()


if __name__ == "__main__":
    import fault_flows  # not __main__: Dask workers find the steps by the module's name

    fault_flows.main(*sys.argv[1:])
