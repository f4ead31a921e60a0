"""Profiles: where tasks are executed, as a YAML file says."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from connflow.errors import InvalidInputError
from connflow.params import parse_params

_DEPLOYMENTS = (
    Path(__file__).parents[1] / "deployments",  # in an installed wheel
    Path(__file__).parents[2] / "deployments",  # in the repository
)


LISTS = {"job_extra_directives", "job_script_prologue", "worker_extra_args", "job_directives_skip"}
"""Arguments of job-queue clusters that add to one another."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z][\w-]*$")]
"""Of a kind of worker or a resource; it stands in commands."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WorkerKind(_Section):
    """Workers of one kind: how many SLURM jobs, and what sets them apart."""

    jobs: int = Field(1, ge=1, description="SLURM jobs that are kept running.")
    cluster_kwargs: dict[str, Any] = Field(
        {}, description="What differs from the profile's cluster_kwargs: queue, memory, ..."
    )
    resources: dict[Name, float] = Field(
        {}, description="What steps can ask of each worker: gpu: 1, memory_gb: 256, ..."
    )


class AdaptKwargs(_Section):
    """Between how many jobs on SLURM, or workers elsewhere, a cluster goes with its steps."""

    minimum: int = Field(1, ge=0, description="Kept also while nothing is to be done.")
    maximum: int = Field(ge=1, description="Most, however many steps wait.")
    idle_s: float = Field(
        60.0, gt=0, description="SLURM: seconds after which a job without work is ended."
    )

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum ({self.minimum}) is above maximum ({self.maximum})")
        return self


class StepNeeds(_Section):
    """What a step needs of the worker it runs on."""

    resources: dict[str, float] = Field({}, description="As named by the kinds of workers.")
    time_limit_s: float | None = Field(
        None, gt=0, description="Most seconds that the step may run; then it fails and says so."
    )


class Profile(_Section):
    """Where tasks are executed, as read from a YAML file."""

    description: str = ""
    task_runner: Literal["threads", "dask"]
    max_workers: int | None = Field(
        None, ge=1, description="threads: most of them; Prefect's choice if empty."
    )
    address: str | None = Field(None, description="dask: the scheduler of a cluster that runs.")
    cluster_class: str | None = Field(
        None, description="dask: dotted name of the class of a cluster to start."
    )
    cluster_kwargs: dict[str, Any] = {}
    adapt_kwargs: AdaptKwargs | None = Field(
        None, description="As many jobs or workers as there are steps, within these limits."
    )
    workers: dict[Name, WorkerKind] = Field({}, description="SLURM: the kinds of workers.")
    steps: dict[str, StepNeeds] = Field({}, description="By step word, what the step needs.")
    steps_per_worker: int = Field(1, ge=1, description="Steps that a worker takes at once.")
    environment: dict[str, str] = Field({}, description="Environment variables of the workers.")
    lost_worker_retries: int = Field(
        10,
        ge=0,
        description="How often a step starts again after the cluster took its worker away "
        "(cancelled, time limit, node failure, preemption).",
    )
    poll_s: float = Field(5.0, gt=0, description="Seconds between looks at the SLURM queue.")

    @model_validator(mode="after")
    def _check_runner(self) -> Self:
        if self.task_runner == "dask" and (self.address is None) == (self.cluster_class is None):
            raise ValueError(
                "task_runner: dask takes a cluster_class to start, or the address of a scheduler "
                "that runs: one of the two"
            )
        starts_one = self.cluster_class is not None
        unused = {
            "cluster_kwargs": self.cluster_kwargs,
            "workers": self.workers,
            "adapt_kwargs": self.adapt_kwargs,
            "environment": self.environment,
        }
        if not starts_one and (given := [name for name, value in unused.items() if value]):
            raise ValueError(
                f"{', '.join(given)}: only for a cluster_class, which starts a cluster"
            )
        if self.workers and "n_workers" in self.cluster_kwargs:
            raise ValueError("n_workers in cluster_kwargs and workers exclude each other")
        if self.adapt_kwargs is not None and self.workers:
            raise ValueError(
                "adapt_kwargs and workers exclude each other: adaptive clusters have one kind of "
                "worker, as cluster_kwargs says"
            )
        return self

    @model_validator(mode="after")
    def _check_job_kwargs(self) -> Self:
        for where, kwargs in {
            "cluster_kwargs": self.cluster_kwargs,
            **{f"workers.{name}": kind.cluster_kwargs for name, kind in self.workers.items()},
        }.items():
            for name in LISTS & kwargs.keys():
                if not isinstance(kwargs[name], list):
                    raise ValueError(f"{where}: {name} takes a list, not {kwargs[name]!r}")
        return self

    @model_validator(mode="after")
    def _check_resources(self) -> Self:
        of_all = self.cluster_kwargs.get("resources", {})
        offers = [kind.resources for kind in self.workers.values()] or [of_all]
        for step, needs in self.steps.items():
            if self.address is None and not any(
                all(offer.get(name, 0) >= amount for name, amount in needs.resources.items())
                for offer in offers
            ):
                raise ValueError(
                    f"steps.{step} needs {dict(needs.resources)}, which no kind of worker has"
                )
        return self


def load_profile(name: str) -> Profile:
    """Read a profile by its name or by the path of a YAML file."""
    path = _find_profile(name)
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise InvalidInputError(f"profile {path} is not YAML: {error}") from None
    return parse_params(Profile, content)


def profile_text(name: str) -> str:
    """Return the YAML of a profile, by its name or by the path of a file."""
    return _find_profile(name).read_text()


def profile_names() -> list[str]:
    """Return the names of the profiles that come with connflow."""
    return sorted(file.stem for file in (deployments_folder() / "profiles").glob("*.yaml"))


def deployments_folder() -> Path:
    """Return the folder of the deployments and profiles that come with connflow."""
    return next(folder for folder in _DEPLOYMENTS if (folder / "prefect.yaml").is_file())


def _find_profile(name: str) -> Path:
    is_path = os.sep in name or name.endswith((".yaml", ".yml"))
    path = Path(name) if is_path else deployments_folder() / "profiles" / f"{name}.yaml"
    if path.is_file():
        return path
    raise InvalidInputError(
        f"there is no profile {name!r}; take one of {', '.join(profile_names())}, "
        "or the path of a YAML file"
    )
