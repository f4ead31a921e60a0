"""The table of faults in docs/faults.md, which a whole run of these tests writes."""

from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
TABLE = HERE.parents[1] / "docs" / "faults.md"
BACKENDS = ("threads", "local Dask", "SLURM")
NO_SLURM = "SLURM NOT TESTED"
MARKER = (
    "fault(name, backend, elsewhere): what goes wrong, on threads, local Dask or SLURM; and why "
    "it is not tested on the others"
)
HEAD = """# Faults, and what holds

Each cell is the result of a test that lets the fault happen to real processes: a Prefect server,
flows, Dask workers, and a SLURM of several nodes that is started on this machine for the tests.
*held* means what the row promises, and that the steps that had finished were not executed again.
The table is written by a whole run, which takes some minutes and, for SLURM, root:

```sh
.venv/bin/python -m pytest tests/system
```

"""


class FaultTable:
    """Collects the results of the tests that are marked as faults; writes them if all were run."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, str]] = {}
        self._expected: set[str] = set()
        self._done: set[str] = set()
        self._is_whole = True

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note the rows in the order of the tests, and whether these are all tests."""
        places = [Path(arg.partition("::")[0]).resolve() for arg in session.config.args]
        self._is_whole &= any(
            "::" not in arg and (place == HERE or place in HERE.parents)
            for arg, place in zip(session.config.args, places, strict=True)
        )
        for item in session.items:
            for mark in item.iter_markers("fault"):
                name, backend, elsewhere = _read(mark)
                row = self._rows.setdefault(name, {})
                row.setdefault(backend, "")
                for other in BACKENDS if elsewhere else ():
                    row.setdefault(f"elsewhere {other}", f"not tested: {elsewhere}")
                self._expected.add(item.nodeid)

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """Write no table where faults were left out."""
        if any(item.get_closest_marker("fault") for item in items):
            self._is_whole = False

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: Any) -> Any:
        """Note the result of a test; of several for one cell, the worst."""
        report: pytest.TestReport = yield
        for mark in item.iter_markers("fault"):
            name, backend, _ = _read(mark)
            self._note(item.nodeid, report, self._rows.setdefault(name, {}), backend)
        return report

    def pytest_sessionfinish(self) -> None:
        """Write the table if every fault has a result."""
        if self._is_whole and self._expected and self._expected == self._done:
            TABLE.write_text(self._written())

    def _note(
        self, nodeid: str, report: pytest.TestReport, row: dict[str, str], backend: str
    ) -> None:
        if report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            reason = reason.removeprefix("Skipped: ")
            if NO_SLURM in reason:
                self._is_whole = False
            row[backend] = row.get(backend) or f"not tested: {reason}"
        elif report.failed:
            row[backend] = "failed"
        elif report.when == "call":
            row[backend] = row.get(backend) or "held"
        if report.when == "teardown":
            self._done.add(nodeid)

    def _written(self) -> str:
        lines = [f"| fault | {' | '.join(BACKENDS)} |", "| --- " * (1 + len(BACKENDS)) + "|"]
        for name, row in self._rows.items():
            cells = [row.get(item) or row.get(f"elsewhere {item}", "") for item in BACKENDS]
            lines.append(f"| {' | '.join([name, *cells])} |")
        return HEAD + "\n".join(lines) + "\n"


def _read(mark: pytest.Mark) -> tuple[str, str, str]:
    backend = mark.kwargs["backend"]
    if backend not in BACKENDS:
        raise ValueError(f"{backend}: no backend; take one of {', '.join(BACKENDS)}")
    return mark.args[0], backend, mark.kwargs.get("elsewhere", "")
