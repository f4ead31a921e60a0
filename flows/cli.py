"""The console script `connflow`: its commands and their groups."""

import typer

from flows.commands.changepoint import changepoint, changepoint_batch, fits
from flows.commands.connectivity import connectivity
from flows.commands.server import deploy, server_app
from flows.commands.slurm import profile_app, slurm_app
from flows.commands.store import store_app
from flows.commands.sweep import sweep

app = typer.Typer(
    help="Prefect-orchestrated dataflow with an artifact store for neural data.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
run_app = typer.Typer(help="Run a flow.", no_args_is_help=True)
run_app.command("connectivity")(connectivity)
run_app.command("changepoint")(changepoint)
run_app.command("changepoint-batch")(changepoint_batch)
run_app.command("sweep")(sweep)
app.command("fits")(fits)
app.add_typer(run_app, name="run")
app.add_typer(store_app, name="store")
app.add_typer(profile_app, name="profile")
app.command("deploy")(deploy)
app.add_typer(server_app, name="server")
app.add_typer(slurm_app, name="slurm")

if __name__ == "__main__":
    app()
