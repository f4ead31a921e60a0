"""What importing the flows brings in: every Dask worker, CLI call and deployment pays for it."""

import json
import subprocess
import sys

HEAVY = {
    "distributed",
    "jinja2",
    "matplotlib",
    "numba",
    "optuna",
    "pandas",
    "pyarrow",
    "scipy",
    "sklearn",
    "xarray",
}
LISTING = """
import json, sys
from prefect import flow, task
flow(lambda: None, name="x"), task(lambda: None)
before = set(sys.modules)
import flows.cli, flows.connectivity, flows.sweep
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_flows_are_imported_without_the_science():
    done = subprocess.run(
        [sys.executable, "-c", LISTING], capture_output=True, text=True, check=True
    )
    packages = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert {"flows", "tasks", "connflow"} <= packages
    assert packages & HEAVY == set()
