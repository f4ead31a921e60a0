"""Plans and repairs as tables in the terminal."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from flows.commands.console import console

if TYPE_CHECKING:
    from connflow.store import ArtifactRef
    from flows.running.plan import Plan


def show_plan(plan: "Plan") -> None:
    """Print for each step whether it is cached, else why it will run, and what that costs."""
    table = Table("step", "artifact", "what happens", "expected", box=None, pad_edge=False)
    for step in plan.steps:
        foresight = step.foresight
        will = f"will run because {foresight.reason}" if foresight.reason else "cached"
        cost = _cost(foresight.wall_time_s, foresight.size_bytes)
        table.add_row(step.ref.step, step.ref.short, will, cost)
    out = Console(highlight=False, soft_wrap=False)
    out.print(table)
    if plan.undecided:
        out.print(f"what follows depends on what {plan.undecided} finds")
    n_running = sum(step.foresight.reason is not None for step in plan.steps)
    out.print(
        f"{n_running} of {len(plan.steps)} steps will run; by past runs that takes about "
        f"{plan.wall_time_s:.0f} s"
    )


def show_repairs(damaged: "Mapping[ArtifactRef, list[str]]") -> None:
    """Say which artifacts were damaged, and that they are made anew."""
    for ref, problems in damaged.items():
        console.print(f"damaged, made anew: {problems[0]} ({ref.step})", markup=False)
    if not damaged:
        console.print("no artifact of this run is damaged")


def _cost(wall_time_s: float | None, size_bytes: float | None) -> str:
    if wall_time_s is None or size_bytes is None:
        return "unknown"
    return f"{wall_time_s:.1f} s, {size_bytes / 1e6:.1f} MB"
