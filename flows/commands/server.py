"""`connflow deploy`, and `connflow server`: a Prefect server with all that the flows need."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.console import console, prepare_prefect, readable_errors

if TYPE_CHECKING:
    from flows.serving.server import Server

server_app = typer.Typer(
    help="A Prefect server of your own, with deployments and workers.", no_args_is_help=True
)

HomeOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the server's database, logs and state; $XDG_STATE_HOME/connflow/server."
    ),
]

_NOT_RUNNING = 1


def deploy(
    folder: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FOLDER",
            help="Folder with prefect.yaml and work_pools.yaml; without it those of connflow.",
        ),
    ] = None,
) -> None:
    """Create or update work pools and deployments on the server at PREFECT_API_URL."""
    prepare_prefect()
    with readable_errors():
        from flows.running.profile import deployments_folder
        from flows.serving.deploy import deploy as deploy_folder

        deployed = deploy_folder(folder or deployments_folder())
    console.print(f"server       {deployed.server}")
    console.print(f"work pools   {', '.join(deployed.work_pools)}")
    for name in deployed.deployments:
        typer.echo(name)


@server_app.command()
def start(
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port; without it 4200, or any if that is taken."),
    ] = None,
    pools: Annotated[
        list[str] | None,
        typer.Option("--pool", metavar="NAME", help="Work pool to serve; connflow. Repeatable."),
    ] = None,
    home: HomeOption = None,
    timeout: Annotated[float, typer.Option(help="How long to wait for each part, s.")] = 180.0,
) -> None:
    """Start server and workers, deploy the flows, and print what makes a shell use them.

    Runs see the folder from which this is called, and its environment: CONNFLOW_STORE among it.
    """
    with readable_errors():
        from flows.serving.server import default_home, start_server

        with console.status("starting: server, deployments, worker"):
            server, is_new = start_server(
                home or default_home(), pools or ["connflow"], port, timeout
            )
    console.print("started" if is_new else "is running already")
    _show(server)


@server_app.command()
def status(home: HomeOption = None) -> None:
    """Say whether a server runs, and where."""
    with readable_errors():
        from flows.serving.server import default_home, read_server

        server = read_server(home or default_home())
    if server is None:
        console.print("not running")
        raise typer.Exit(_NOT_RUNNING)
    if missing := server.missing():
        console.print(f"not running: {', '.join(missing)}; `connflow server start` mends it")
    _show(server)
    if missing:
        raise typer.Exit(_NOT_RUNNING)


@server_app.command()
def stop(home: HomeOption = None) -> None:
    """Stop server, workers and their runs. The record of runs stays for the next start."""
    with readable_errors():
        from flows.serving.server import default_home, stop_server

        was_there = stop_server(home or default_home())
    console.print("stopped" if was_there else "was not running")


def _show(server: "Server") -> None:
    console.print(f"page         {server.url}")
    for process in server.processes:
        if process.find():
            role = "server" if process.role == "server" else f"worker of {process.role}"
            console.print(f"{process.pid:<12} {role}")
    typer.echo(f"export PREFECT_API_URL={server.api_url}")
