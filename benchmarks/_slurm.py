"""A SLURM for benchmarks: the one this shell is on, or one of our own on this machine."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

TESTBED = Path(__file__).parents[1] / "tests" / "system" / "slurm_testbed.py"
CLUSTER = "dask_jobqueue.SLURMCluster"
SEARCHED = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


@contextmanager
def slurm_environment() -> Iterator[Mapping[str, str] | None]:
    """Yield the environment that reaches a SLURM; None where there is none and none can be."""
    if os.environ.get("SLURM_CONF"):
        yield {}
        return
    if os.geteuid() != 0 or shutil.which("slurmctld", path=SEARCHED) is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="connflow-slurm-") as folder:
        _testbed("start", f"{folder}/bed")
        try:
            yield {"SLURM_CONF": f"{folder}/bed/slurm.conf", "PATH": SEARCHED}
        finally:
            _testbed("stop", f"{folder}/bed")


def job_kwargs(folder: Path) -> dict[str, Any]:
    """Return the arguments of a cluster class for one-core SLURM jobs on this machine."""
    return {
        "cores": 1,
        "processes": 1,
        "memory": "1500MB",
        "walltime": "00:30:00",
        "interface": "lo",
        "log_directory": str(folder / "logs"),
        "local_directory": str(folder / "local"),
        "job_script_prologue": ["export OMP_NUM_THREADS=1"],
    }


def write_profile(folder: Path, n_jobs: int) -> Path:
    """Write a profile of one-core SLURM jobs on this machine; return its path."""
    path = folder / f"slurm-{n_jobs}.yaml"
    content = {
        "task_runner": "dask",
        "cluster_class": CLUSTER,
        "workers": {"cpu": {"jobs": n_jobs}},
        "poll_s": 1.0,
        "cluster_kwargs": job_kwargs(folder),
    }
    path.write_text(yaml.safe_dump(content))
    return path


def _testbed(command: str, folder: str) -> None:
    subprocess.run([sys.executable, str(TESTBED), command, folder], check=True)
