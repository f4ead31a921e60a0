"""The steps of a run, as lines in the terminal that change while it goes on."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from flows.commands.console import console


@contextmanager
def step_table() -> Iterator[None]:
    """Show each step as a line with its state, and how far the running one is."""
    from connflow.progress import reporting_to
    from flows.running.run import listening

    progress = Progress(
        SpinnerColumn(finished_text=" "),
        TextColumn("{task.description:<14}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[state]:<10}"),
        TimeElapsedColumn(),
        console=console,
    )
    lines: dict[str, TaskID] = {}

    def on_step(step: str, state: str) -> None:
        if step not in lines:
            lines[step] = progress.add_task(step, total=1.0, state=state)
        done = state in ("Completed", "Cached")
        progress.update(lines[step], state=state, completed=1.0 if done else 0.0)

    def on_fraction(fraction: float) -> None:
        running = [line for line in progress.tasks if line.fields["state"] == "Running"]
        if running:
            progress.update(running[-1].id, completed=min(fraction, 0.99))

    began = time.perf_counter()
    with progress, listening(on_step), reporting_to(on_fraction):
        yield
    console.print(f"done in {time.perf_counter() - began:.1f} s")
