"""The Dask cluster of a run: started for it on this machine or on SLURM, or one that runs."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any, Protocol, cast

import dask
from distributed import LocalCluster
from distributed.deploy.cluster import Cluster

from connflow.errors import ClusterError, InvalidInputError
from flows.running.profile import AdaptKwargs, Profile
from flows.running.slots import Slots, Worker
from flows.running.slurm_jobs import Loss

NO_WORKERS_S = 300.0
"""So long a cluster may be without any worker before the run is given up."""

DASK_CONFIG = {
    # one attempt at a time: what a lost worker did is begun again by the run, not by Dask
    "distributed.scheduler.allowed-failures": 0,
    # a worker that takes longer to start again on a busy machine is not to be closed for it
    "distributed.deploy.lost-worker-timeout": "5 minutes",
}


class RunningCluster(Protocol):
    """What a run needs of its cluster."""

    address: str
    failure: ClusterError | None
    slots: Slots | None
    """What the steps wait for; set by who gives them out."""

    def workers(self, client: Any) -> Mapping[str, Worker]:
        """Return the workers that are there now, by address."""

    def why_lost(self, worker: str) -> Loss:
        """Say why a worker, named by its Dask name, was lost."""

    def why_left(self, worker: str) -> Loss:
        """Say why a worker is not there any more, of whose death the scheduler said nothing."""

    def node_of(self, worker: str) -> str:
        """Return the machine that a worker is on."""

    def shun(self, node: str, why: str) -> bool:
        """Start no more workers on a node, and end those there; return whether that was done."""


class PlainCluster:
    """A cluster whose workers are nobody's jobs.

    Parameters
    ----------
    address : str
        Of its scheduler.
    on_failure : callable
        Is called when no worker has been there for too long.
    scale : callable, optional
        Asks for a number of workers.
    limits : AdaptKwargs, optional
        Between which the number of workers grows with the steps. It shrinks with the run's end.
    """

    def __init__(
        self,
        address: str,
        on_failure: Callable[[], None],
        scale: Callable[[int], object] = lambda _: None,
        limits: AdaptKwargs | None = None,
    ) -> None:
        self.address = address
        self.failure: ClusterError | None = None
        self.slots: Slots | None = None
        self._on_failure = on_failure
        self._hosts: dict[str, str] = {}
        self._last_seen = self._last_look = time.monotonic()
        self._scale, self._limits = scale, limits
        self._n_wanted = 0
        self._grow()

    def workers(self, client: Any) -> Mapping[str, Worker]:
        """Return the workers that are there now, as the scheduler says."""
        self._grow()
        said = client.scheduler_info(n_workers=-1)["workers"]
        self._hosts |= {str(info["name"]): info["host"] for info in said.values()}
        self._check_there_are_some(len(said))
        return {
            address: Worker(
                address, str(info["name"]), info["resources"], info["status"] == "running"
            )
            for address, info in said.items()
        }

    def _grow(self) -> None:
        """Ask for more workers where steps have none."""
        if self._limits is None:
            return
        n_steps = self.slots.n_steps if self.slots is not None else 0
        n_wanted = min(max(n_steps, self._limits.minimum), self._limits.maximum)
        if n_wanted > self._n_wanted:
            self._n_wanted = n_wanted
            self._scale(n_wanted)

    def _check_there_are_some(self, n_workers: int) -> None:
        now = time.monotonic()
        if n_workers > 0 or now - self._last_look > NO_WORKERS_S / 10:  # nobody has asked for long
            self._last_seen = now
        self._last_look = now
        if now - self._last_seen > NO_WORKERS_S and self.failure is None:
            self.failure = ClusterError(
                f"the cluster {self.address} has had no worker for {NO_WORKERS_S:g} s"
            )
            self._on_failure()

    def why_lost(self, worker: str) -> Loss:
        """Say what is known: that it is gone."""
        return Loss(
            f"worker {worker} on {self.node_of(worker)} died, killed or out of memory; its log, or "
            "a smaller step, says more"
        )

    def why_left(self, worker: str) -> Loss:
        """Say the same: schedulers that were not started here may keep a death to themselves."""
        return self.why_lost(worker)

    def node_of(self, worker: str) -> str:
        """Return the address of the machine that a worker is on."""
        return self._hosts.get(worker, "a machine unknown")

    def shun(self, node: str, why: str) -> bool:
        """Shun nothing: there is nowhere else to go."""
        return False


@contextmanager
def start_cluster(
    profile: Profile, logger: Any, on_failure: Callable[[], None]
) -> Iterator[RunningCluster]:
    """Start the cluster of a profile, or name the one that runs; take down what was started.

    Parameters
    ----------
    profile
        What to start.
    logger
        Is told how workers come and go.
    on_failure
        Is called when the cluster's `failure` says that it will never give a worker.

    Raises
    ------
    InvalidInputError
        If the profile does not fit its cluster class.
    ClusterError
        If the cluster does not start.
    """
    if profile.address is not None:
        yield PlainCluster(profile.address, on_failure)
        return
    cluster_class = find_cluster_class(profile)
    is_slurm = is_slurm_class(cluster_class)
    if profile.workers and not is_slurm:
        raise InvalidInputError(
            f"workers says how many SLURM jobs; {profile.cluster_class} has none. Set n_workers in "
            "cluster_kwargs"
        )
    if profile.adapt_kwargs is not None and not (
        is_slurm or issubclass(cluster_class, LocalCluster)
    ):
        raise InvalidInputError(
            f"adapt_kwargs is for SLURM and for distributed.LocalCluster; {profile.cluster_class} "
            "would not replace workers that end. Set n_workers in cluster_kwargs"
        )
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(DASK_CONFIG))
        if is_slurm:
            from flows.running.slurm import SlurmWorkers

            workers = SlurmWorkers(profile, cast(Any, cluster_class), logger, on_failure)
            yield stack.enter_context(workers)
        else:
            kwargs = _with_environment(cluster_class, profile)
            cluster = stack.enter_context(_started(cluster_class, kwargs))
            yield PlainCluster(
                cluster.scheduler_address, on_failure, cluster.scale, profile.adapt_kwargs
            )


def find_cluster_class(profile: Profile) -> type[Cluster]:
    """Import the cluster class of a profile."""
    module, _, name = str(profile.cluster_class).rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        raise InvalidInputError(f"there is no Dask cluster class {profile.cluster_class}") from None
    if not (isinstance(found, type) and issubclass(found, Cluster)):
        raise InvalidInputError(f"{profile.cluster_class} is not a Dask cluster class")
    return found


def is_slurm_class(cluster_class: type[Cluster]) -> bool:
    """Whether a cluster's workers are SLURM jobs."""
    return any(parent.__name__ == "SLURMCluster" for parent in cluster_class.__mro__)


def _with_environment(cluster_class: type[Cluster], profile: Profile) -> Mapping[str, Any]:
    if not profile.environment:
        return profile.cluster_kwargs
    if not issubclass(cluster_class, LocalCluster):
        raise InvalidInputError(
            f"environment cannot be given to {profile.cluster_class}; use its own argument for it "
            "in cluster_kwargs"
        )
    given = profile.cluster_kwargs.get("env", {})
    return {**profile.cluster_kwargs, "env": {**given, **profile.environment}}


def _started(cluster_class: type[Cluster], kwargs: Mapping[str, Any]) -> Cluster:
    try:
        return cluster_class(**kwargs)
    except TypeError as error:
        raise InvalidInputError(f"cluster_kwargs: {error}") from None
    except (OSError, RuntimeError, ValueError) as error:
        raise ClusterError(f"{cluster_class.__name__} did not start: {error}") from error
