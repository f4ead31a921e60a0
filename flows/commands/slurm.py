"""The commands `connflow profile` and `connflow slurm`."""

from typing import Annotated, Any, cast
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from flows.commands.console import console, readable_errors

profile_app = typer.Typer(help="Where tasks run.", no_args_is_help=True)
slurm_app = typer.Typer(help="Jobs of runs on SLURM.", no_args_is_help=True)


@profile_app.command("ls")
def list_profiles() -> None:
    """List the profiles that come with connflow."""
    from flows.running.profile import load_profile, profile_names

    table = Table("profile", "description", box=None)
    for name in profile_names():
        table.add_row(name, load_profile(name).description)
    Console(highlight=False).print(table)


@profile_app.command("show")
def show_profile(
    name: Annotated[str, typer.Argument(help="A profile's name, or the path of a YAML file.")],
) -> None:
    """Print the job script that a SLURM profile would submit, or the profile. No cluster needed."""
    with readable_errors():
        from flows.running.cluster import find_cluster_class, is_slurm_class
        from flows.running.profile import load_profile, profile_text

        profile = load_profile(name)
        if profile.cluster_class and is_slurm_class(found := find_cluster_class(profile)):
            from flows.running.slurm import job_scripts

            for kind, script in job_scripts(profile, cast(Any, found)).items():
                typer.echo(f"# a job of kind {kind}\n{script.strip()}\n")
        else:
            typer.echo(profile_text(name).strip())


@slurm_app.command("jobs")
def list_jobs() -> None:
    """List the SLURM jobs of runs, and whether the run's process is there."""
    with readable_errors():
        from flows.running.slurm_jobs import owned_jobs

        table = Table("job", "state", "node", "flow run", "process", box=None)
        for job, owner in owned_jobs():
            there = "gone" if owner.is_gone else "there" if owner.is_here else f"on {owner.host}"
            table.add_row(job.id, job.state, job.node, owner.flow_run, there)
        Console(highlight=False).print(table)


@slurm_app.command("orphans")
def list_orphans(
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel them.")] = False,
) -> None:
    """List the SLURM jobs of runs that are dead; jobs of a run that may be alive are not touched.

    A run is dead when its process, on this machine, has ended, or when the Prefect server says
    that the run has come to its end.
    """
    with readable_errors():
        from flows.running.slurm_jobs import cancel_jobs, owned_jobs

        orphans = [
            job for job, owner in owned_jobs() if owner.is_gone or _has_ended(owner.flow_run)
        ]
        for job in orphans:
            typer.echo(f"{job.id} {job.state} {job.node}")
        if cancel:
            cancel_jobs(orphans)
        console.print(f"{len(orphans)} {'cancelled' if cancel else 'orphans'}")


def _has_ended(flow_run: str) -> bool:
    """Whether the Prefect server says so; one that does not answer says nothing."""
    from httpx import HTTPError
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    try:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(UUID(flow_run)).state
    except (ValueError, ObjectNotFound, HTTPError, RuntimeError):
        return False
    return state is not None and state.is_final()
