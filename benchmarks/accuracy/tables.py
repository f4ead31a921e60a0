"""What the page says, computed from the results: means, intervals, verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import t

from benchmarks.accuracy.cases import Case
from benchmarks.accuracy.contenders import Contender, contenders_of
from benchmarks.accuracy.kept import Results
from benchmarks.accuracy.run import entries_of


@dataclass(frozen=True)
class Mean:
    """A mean over seeds with the half-width of its 95 % interval (Student); NaN for one seed."""

    value: float
    half_width: float

    def __str__(self) -> str:
        if np.isnan(self.value):
            return ""
        if np.isnan(self.half_width):
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ± {self.half_width:.3f}"


@dataclass(frozen=True)
class Standing:
    """One contender's results in one case.

    Parameters
    ----------
    name : str
    contender : Contender
    rows : list of dict
        A result for each seed, by seed.
    is_current : bool
        Whether all of them are of the program as it is now.
    """

    name: str
    contender: Contender
    rows: list[dict[str, Any]]
    is_current: bool

    def values(self, score: str) -> dict[int, float]:
        """Return a score by seed, where there is one."""
        return {row["seed"]: row["scores"][score] for row in self.rows if score in row["scores"]}

    def mean(self, score: str) -> Mean:
        """Return a score's mean over seeds."""
        return mean_of(list(self.values(score).values()))


def mean_of(values: Sequence[float]) -> Mean:
    """Return the mean and its 95 % interval by Student's t."""
    n = len(values)
    if n == 0:
        return Mean(float("nan"), float("nan"))
    if n == 1:
        return Mean(float(values[0]), float("nan"))
    error = float(np.std(values, ddof=1)) / n**0.5
    return Mean(float(np.mean(values)), float(t.ppf(0.975, n - 1)) * error)


def standings_of(name: str, case: Case, results: Results, seeds: int) -> list[Standing]:
    """Return who has results in a case, the best by average precision first.

    Results of an earlier program on the same recording are taken where there is none of the
    present one.
    """
    known = results.read()
    place = {(row["recording"], row["contender"]): row for row in known.values()}
    found: dict[str, list[dict[str, Any]]] = {}
    stale: set[str] = set()
    for seed in range(seeds):
        for entry in entries_of(name, case, seed):
            row = known.get(entry.key) or place.get((entry.recording, entry.name))
            if row is None:
                continue
            found.setdefault(entry.name, []).append(row)
            if entry.key not in known:
                stale.add(entry.name)
    contenders = contenders_of(case.kind)
    standings = [
        Standing(label, contenders[label], rows, label not in stale)
        for label, rows in found.items()
    ]
    return sorted(standings, key=lambda s: -s.mean("average_precision").value)


def verdict(standings: Sequence[Standing], reach: dict[str, float]) -> list[str]:
    """Return sentences: who is ahead by how much, and whether the goals are reached."""
    ours = next((s for s in standings if s.name == "auto"), None)
    if ours is None:
        ours = next((s for s in standings if s.contender.role == "ours"), None)
    if ours is None:
        return []
    sentences = [
        compare(ours, other)
        for role, other in _best_by_role(standings, ours).items()
        if other is not None and (role != "ours" or _is_ahead(other, ours))
    ]
    return sentences + [_judge(ours, score, least) for score, least in reach.items()]


def _best_by_role(standings: Sequence[Standing], ours: Standing) -> dict[str, Standing | None]:
    return {
        role: next((s for s in standings if s.contender.role == role and s is not ours), None)
        for role in ("rival", "baseline", "ours")
    }


def difference(one: Standing, other: Standing) -> Mean:
    """Return how much more average precision one has than the other, seed by seed."""
    a, b = one.values("average_precision"), other.values("average_precision")
    return mean_of([a[seed] - b[seed] for seed in sorted(a.keys() & b.keys())])


def _is_ahead(one: Standing, other: Standing) -> bool:
    gap = difference(one, other)
    return bool(gap.value > gap.half_width)


def compare(ours: Standing, other: Standing) -> str:
    """Return a sentence on two contenders' average precision."""
    kind = {"rival": "the best rival", "baseline": "the best baseline", "ours": "our own"}
    gap, label = difference(ours, other), other.contender.label
    who = f"{kind[other.contender.role]}, {label},"
    if _is_ahead(ours, other):
        return f"*{ours.contender.label}* is ahead of {who} by {gap} AP."
    if _is_ahead(other, ours):
        return (
            f"**{label} wins**: ahead of *{ours.contender.label}* by {difference(other, ours)} AP."
        )
    if np.isnan(gap.half_width):
        return f"With one seed nobody is ahead: {gap.value:+.3f} AP against {who} is no result."
    return f"*{ours.contender.label}* and {who} are level ({gap} AP)."


NAMES = {
    "auroc": "AUROC",
    "average_precision": "AP",
    "precision_at_density": "prec@K",
    "sign_accuracy": "signs",
    "false_discovery_proportion": "FDP",
    "recall": "recall",
}


def _judge(ours: Standing, score: str, least: float) -> str:
    found = ours.mean(score)
    word = "reached" if found.value >= least else "**not reached**"
    return f"Goal {NAMES[score]} ≥ {least:g}: {word} ({found})."


def table(standings: Sequence[Standing]) -> str:
    """Return the table of a case in Markdown."""
    head = ["method", "", *NAMES.values(), "CPU s"]
    rows = [head, ["---"] * len(head)]
    for standing in standings:
        label = standing.contender.label + ("" if standing.is_current else " †")
        cpu = np.mean([row["cpu_s"] for row in standing.rows])
        cells = [str(standing.mean(score)) for score in NAMES]
        rows.append([label, standing.contender.role, *cells, f"{cpu:.1f}"])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
