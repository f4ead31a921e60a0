"""What all commands share: the console, a quiet Prefect, and errors that people can read."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from connflow.errors import ConnflowError

console = Console(stderr=True, highlight=False)
"""For messages and progress; what a command returns goes to stdout."""

BAD_INPUT = 2


@contextmanager
def readable_errors(verbose: bool = False) -> Iterator[None]:
    """Show what connflow has to say about bad input as a message, not as a traceback."""
    try:
        yield
    except ConnflowError as error:
        if verbose:
            console.print_exception()
        console.print(f"[bold red]Error:[/] {type(error).__name__}", markup=True)
        console.print(str(error), markup=False, soft_wrap=True)
        raise typer.Exit(BAD_INPUT) from None


def prepare_prefect(verbose: bool = False) -> None:
    """Keep Prefect and Dask from logging to the terminal, unless asked to, and from calling home.

    Where there is no server, Prefect starts one for the run, for which a busy machine gets three
    minutes instead of 20 s. What the environment says already stands.
    """
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO" if verbose else "CRITICAL")
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "info" if verbose else "error")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
    os.environ.setdefault("DO_NOT_TRACK", "1")
