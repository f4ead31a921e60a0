"""Real services for the system tests, started once a run and gone after it."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.system._processes import (
    FLOWS_ARE_HERE,
    TESTBED,
    Ground,
    Place,
    Server,
    Slurm,
    install,
)
from tests.system._table import MARKER, NO_SLURM, FaultTable

pytest.register_assert_rewrite("tests.system._checks")  # which test modules import later

N_NODES = 4
NODE = "SLURMD_NODENAME"
DISKS = "disks"


class BadNodes(NamedTuple):
    """What a profile says so that some nodes are bad for it, and what their problems are."""

    cluster_kwargs: dict[str, Any]
    problems: dict[str, str]


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of faults, and what collects their results."""
    config.addinivalue_line("markers", MARKER)
    if not config.pluginmanager.has_plugin("connflow-faults"):
        config.pluginmanager.register(FaultTable(), "connflow-faults")


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """A SLURM of our own with four nodes; tests that ask for it skip where it cannot be."""
    if os.geteuid() != 0:
        pytest.skip(f"{NO_SLURM}: its daemons start jobs as other users, so run the tests as root")
    install("slurm")
    if shutil.which("slurmctld", path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
        pytest.skip(f"{NO_SLURM}: not installed; apt-get install munge slurmctld slurmd")
    folder = tmp_path_factory.mktemp("slurm")
    start = [sys.executable, TESTBED, "start", folder, "--nodes", str(N_NODES)]
    try:
        started = subprocess.run(start, check=False, capture_output=True, text=True, timeout=120)
        if started.returncode:
            pytest.skip(f"{NO_SLURM}: it does not start here: {started.stderr[-2000:]}")
        yield Slurm(folder)
    finally:
        subprocess.run([sys.executable, TESTBED, "stop", folder], check=False, timeout=60)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Prefect server process, which tests may kill and start again."""
    server = Server(tmp_path_factory.mktemp("prefect"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def make_ground(
    tmp_path_factory: pytest.TempPathFactory, server: Server
) -> Iterator[Callable[[str], Ground]]:
    """Prepare folders in which flows run; the processes that are left of them end with it."""
    grounds: list[Ground] = []

    def make(name: str) -> Ground:
        folder = tmp_path_factory.mktemp(name)
        grounds.append(Ground(folder, server.environment | FLOWS_ARE_HERE))
        return grounds[-1]

    yield make
    for ground in grounds:
        ground.clear()


@pytest.fixture
def ground(request: pytest.FixtureRequest, make_ground: Callable[[str], Ground]) -> Ground:
    """The folder of this test in which flows run."""
    return make_ground(request.node.name)


@pytest.fixture(scope="module")
def make_backends(
    request: pytest.FixtureRequest, make_ground: Callable[[str], Ground]
) -> Callable[[str, Sequence[str]], dict[str, Place]]:
    """Prepare a place on each of some backends; SLURM is left out where it cannot be."""

    def profile(ground: Ground, backend: str) -> str:
        if backend == "SLURM":
            slurm: Slurm = request.getfixturevalue("slurm")
            slurm.clear()
            return ground.slurm_profile(slurm, 2)
        return ground.dask_profile() if backend == "local Dask" else "local"

    def make(name: str, backends: Sequence[str]) -> dict[str, Place]:
        places = {}
        for backend in backends:
            ground = make_ground(f"{name}-{backend.replace(' ', '-')}")
            with contextlib.suppress(pytest.skip.Exception):
                places[backend] = Place(backend, ground, profile(ground, backend))
        return places

    return make


@pytest.fixture
def bad_nodes(slurm: Slurm, tmp_path: Path) -> Iterator[BadNodes]:
    """Node n1 with a full local disk and n2 without the environment, as a profile sees them.

    The disk has room for its root folder alone, as one has whose last block is taken.
    """
    disks, environments = tmp_path / "disks", tmp_path / "environments"
    environments.mkdir()
    for index in range(1, N_NODES + 1):
        (disks / f"n{index}").mkdir(parents=True)
        if index != 2:
            (environments / f"n{index}").symlink_to(sys.prefix)
    full = disks / "n1"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=1", "tmpfs", full], check=True)
    try:
        yield BadNodes(
            {
                "local_directory": f"{disks}/${NODE}",
                "python": f"{environments}/${NODE}/bin/python",
            },
            {"n1": "No space left on device", "n2": "No such file or directory"},
        )
    finally:
        subprocess.run(["umount", full], check=True)


@pytest.fixture
def small_disk(slurm: Slurm, ground: Ground) -> Iterator[str]:
    """Name of a node whose local disk takes 64 kB."""
    disks = ground.folder / DISKS
    for index in range(1, N_NODES + 1):
        (disks / f"n{index}").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disks / "n1"], check=True)
    try:
        yield "n1"
    finally:
        subprocess.run(["umount", disks / "n1"], check=True)
