"""Finished runs in MLflow, where the environment names a tracking server.

`MLFLOW_TRACKING_URI` switches it on, and `MLFLOW_EXPERIMENT_NAME` names the experiment.
"""

import hashlib
import json
import math
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from connflow.errors import first_line
from connflow.store.environment import git_state
from connflow.store.ref import canonical_json
from flows.running.result import FlowResult
from tasks._pages import PAGE

if TYPE_CHECKING:  # imported where it is used: most runs are not tracked
    from mlflow import MlflowClient

Result = TypeVar("Result", bound=FlowResult)

EXPERIMENT = "connflow"
IDENTITY = "connflow.result"

MOST_PARAMS = 100
"""As many as MLflow takes at a time."""

PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""For a server that does not answer; MLflow's own patience holds a run up for minutes."""

_one_at_a_time = threading.Lock()  # of the trials of a sweep


def is_tracking() -> bool:
    """Whether runs are to be logged."""
    return bool(os.environ.get("MLFLOW_TRACKING_URI"))


def tracked(result: Result) -> Result:
    """Log what the current flow run has made, if that is wanted, and hand it on.

    A result is logged once, however often runs find it. Where MLflow fails, a warning says so; the
    run goes on.
    """
    if is_tracking():
        try:
            with _one_at_a_time:
                _log_once(result)
        except Exception as error:
            get_run_logger().warning("this run is not in MLflow: %s", _say(error))
    return result


def _say(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return "it is not installed; pip install 'connflow[mlflow]'"
    text = re.sub(r"//[^/@\s]*@", "//", first_line(error))  # credentials in a URL stay unsaid
    return f"{type(error).__name__}: {text}"


def _log_once(result: FlowResult) -> None:
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    client = MlflowClient()
    experiment = _experiment(client, os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT)
    identity = _identify(result)
    known = f"tags.`{IDENTITY}` = '{identity}' and attributes.status = 'FINISHED'"
    if not client.search_runs([experiment], known, max_results=1):
        _log(client, experiment, result, {IDENTITY: identity, **_describe(result)})


def _log(
    client: "MlflowClient", experiment: str, result: FlowResult, tags: Mapping[str, str]
) -> None:
    """Log a run; one that is not through when something fails does not count as logged."""
    from mlflow.entities import Metric, Param

    context = FlowRunContext.get()
    assert context is not None
    began = round(1000 * context.start_time.timestamp())
    created = client.create_run(experiment, began, tags=dict(tags), run_name=flow_run.name)
    run = created.info.run_id
    params = [Param(name, value) for name, value in _flatten(_arguments(context))]
    for first in range(0, len(params), MOST_PARAMS):
        client.log_batch(run, params=params[first : first + MOST_PARAMS])
    now = round(1000 * time.time())
    client.log_batch(run, [Metric(name, value, now, 0) for name, value in _scores(result)])
    if "report" in result.refs:
        page = result.store.read_file(result.refs["report"], PAGE)
        client.log_text(run, page.decode(), PAGE)
    client.set_terminated(run)


def _experiment(client: "MlflowClient", name: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        with suppress(MlflowException):  # made by another process at the same moment
            return client.create_experiment(name)
        found = client.get_experiment_by_name(name)
    assert found is not None
    return found.experiment_id


def _identify(result: FlowResult) -> str:
    """Return the same text for runs that came to the same artifacts."""
    refs = {step: str(ref) for step, ref in result.refs.items()}
    return hashlib.sha256(canonical_json(refs).encode()).hexdigest()


def _describe(result: FlowResult) -> dict[str, str]:
    """Return tags: the artifacts, where they are, and the Prefect run that made them."""
    git = git_state()
    tags = {
        "connflow.store": result.store.root,
        "prefect.flow": flow_run.flow_name,
        "prefect.flow_run_id": flow_run.id,
        "prefect.parent_flow_run_id": flow_run.parent_flow_run_id,
        "mlflow.source.git.commit": git and git["commit"],
    }
    tags |= {f"connflow.artifact.{step}": ref for step, ref in result.refs.items()}
    return {name: str(value) for name, value in tags.items() if value}


def _arguments(context: FlowRunContext) -> dict[str, Any]:
    """Return a flow run's arguments as JSON values."""
    assert context.flow is not None
    return context.flow.serialize_parameters(context.parameters or {})


def _flatten(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted names and texts.

    Examples
    --------
    >>> list(_flatten({"params": {"path": "auto", "lags": [1, 2]}}))
    [('params.path', 'auto'), ('params.lags', '[1, 2]')]
    """
    if isinstance(value, Mapping) and value:
        for part, inner in value.items():
            yield from _flatten(inner, f"{name}.{part}" if name else str(part))
    else:
        yield name, value if isinstance(value, str) else json.dumps(value)


def _scores(result: FlowResult) -> Iterator[tuple[str, float]]:
    """Yield the finite scores of all tables of scores, as ``step.score``."""
    import pandas as pd

    for step, ref in result.refs.items():
        if not result.store.holds(ref, "table.parquet"):
            continue
        table = result.store.read_table(ref)
        if {"score", "value"} <= set(table):
            for score, value in zip(table["score"], table["value"], strict=True):
                if pd.notna(value) and math.isfinite(value):
                    yield f"{step}.{score}", float(value)
