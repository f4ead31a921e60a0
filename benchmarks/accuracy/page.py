"""The page: tables, pictures and sentences, all computed from the results."""

import json
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.accuracy.cases import Case
from benchmarks.accuracy.kept import Results
from benchmarks.accuracy.pictures import draw_case
from benchmarks.accuracy.tables import Standing, standings_of, table, verdict

INTRO = """# How well connectivity is found

Simulated networks whose wiring is known, and recordings of real ones. Every method sees the same
recordings; none is told a delay, a kernel width, a decay time or a noise level. All numbers are
made by one command, and this page is written by it.

- A pair is an ordered pair of different units; it counts as connected if there is a synapse from
  the first to the second. Pairs are ranked by the size of the method's score.
- **AUROC**: ranking of all pairs, chance 0.5. **AP**: average precision, chance is the density of
  the wiring. **prec@K**: share of true synapses among as many top pairs as there are synapses.
  **signs**: share of synapses whose sign is right.
- **FDP** and **recall**: among the pairs that the method itself calls connected, the share that is
  not, and the share of all synapses that it found. Ours are asked for a false discovery rate of
  5 %; rivals use their authors' level. Empty where a method gives no decision.
- After ± stands half the 95 % interval of the mean over seeds (Student's t). A seed is another
  network, with other wiring and other input.
- **ours** are methods that this package adds; **rival**, published estimators, set as their authors
  advise, in our code unless said otherwise; **baseline**, common estimators. Rivals and baselines
  are all to be had from the package by name, except GLMCC and the smoothed CCG.
- *connflow, as it comes* is `method: auto` with all defaults: what a user gets who sets nothing.
"""

REMARKS = """## What the rivals are

- **GLMCC**: Kobayashi et al. 2019; coupling with a decay of 4 ms, delay of 1 to 4 ms by posterior,
  beta 4000, level as in the authors' program. Our code, 1 ms bins, Newton steps.
- **smoothed CCG**: the sCCG of spycon (Donner et al. 2024): bins of 0.4 ms, partially hollow
  Gaussian of 10 ms, lags 0.8 to 5.6 ms, level .001 over the number of lags. Our code.
- **TSPE**: De Blasi et al. 2019, by our code, which gives elephant's numbers. *TSPE, elephant* is
  elephant's own, read with its rows as targets, where the recording fits into its memory. *TSPE,
  our z* is what `method: tspe` ranks by: the same response over its standard error.
- **calcinet**: least squares on one lag: 1 ms as published; 2 ms, the only lag at which synapses of
  1.5 ms show, though no other method is told so; and lag 1 of bins of 5 ms, which hold any delay.
- **calnet**: least squares on lag 10 of 1 ms bins, or frames.
- **Sutera et al.**: filters, threshold, weights, averaged partial correlations (2014).
- **generalised transfer entropy**: Stetter et al. 2012.
"""

RERUN = """## To make this page again

```console
$ pip install -e '.[nest]'                       # NEST is optional, and GPL
$ python -m venv elephant && elephant/bin/pip install elephant   # optional
$ export CONNFLOW_ELEPHANT_PYTHON=$PWD/elephant/bin/python
$ python -m benchmarks.accuracy --seeds 5        # resumes where it was stopped
$ python -m benchmarks.accuracy --cases n300-30min --methods kernel_regression,ccg
$ python -m benchmarks.accuracy --quick          # a tenth of each case, to try it
```

What was measured lies in [`benchmark/results.jsonl`](benchmark/results.jsonl), a line for each
method and network; a change of a method's program makes its lines stale, and only those are made
again. CPU time is of a machine in use, numba's compilation included where it was the first call.
"""


def write_page(
    file: Path, cases: Mapping[str, Case], results: Results, real: Path, seeds: int
) -> None:
    """Write the page, and the pictures into the folder ``benchmark`` beside it."""
    parts = [INTRO]
    for name, case in cases.items():
        standings = standings_of(name, case, results, seeds)
        if standings:
            draw_case(case.title, standings, file.parent / "benchmark" / f"{name}.png")
            parts.append("\n".join(describe(name, case, standings)))
    parts.append(REMARKS)
    if real.exists():
        from benchmarks.accuracy.real import describe_real

        parts.append(describe_real(json.loads(real.read_text())))
    parts += [RERUN, _measured(results)]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(parts))


def describe(name: str, case: Case, standings: list[Standing]) -> Iterator[str]:
    """Yield the lines of a case."""
    seeds = sorted({row["seed"] for s in standings for row in s.rows})
    chance = standings[0].mean("chance")
    yield f"## {case.title}\n"
    yield f"{case.text} Seeds {_range(seeds)}; chance AP {chance.value:.3f}.\n"
    yield f"![precision against recall](benchmark/{name}.png)\n"
    yield " ".join(verdict(standings, case.reach)) + "\n"
    yield table(standings) + "\n"
    if not all(s.is_current for s in standings):
        yield "† by an earlier version of the program.\n"
    missing = [s.contender.label for s in standings if len(s.rows) < len(seeds)]
    if missing:
        yield f"With fewer seeds than the others: {', '.join(missing)}.\n"


def _range(seeds: list[int]) -> str:
    return f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])


def _measured(results: Results) -> str:
    rows = results.read().values()
    days = sorted(row["when"][:10] for row in rows) or ["never"]
    packages = []
    for package in ("connflow", "numpy", "scipy", "numba", "nest-simulator"):
        try:
            packages.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    hours = sum(row["cpu_s"] for row in rows) / 3600
    return (
        f"Measured from {days[0]} to {days[-1]}, {hours:.1f} CPU hours in all; "
        f"Python {platform.python_version()}, {', '.join(packages)}.\n"
    )
