"""The tables of the page: plain rows of text, from content that may lack any part."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from connflow.recording.model import Recording, SpikeRecording
from connflow.report.content import Wiring
from connflow.report.spike_figures import unit_rates_hz
from connflow.report.words import flatten, say_bytes, say_duration, say_number, say_score, say_value

N_STRONGEST = 10
_AUROC = ("auroc", "rocauc", "auc")
_AP = ("ap", "averageprecision", "auprc")
_PRECISION = (
    "precisionatdensity",
    "preck",
    "precatk",
    "precisionatk",
    "precisionk",
    "precisionattruedensity",
)


@dataclass(frozen=True)
class Fact:
    """One headline number, or one line of a summary."""

    label: str
    value: str
    remark: str = ""


def list_headlines(
    recording: Recording | None, n_units: int, attrs: Mapping[str, Any], scores: Any
) -> list[Fact]:
    """Return the numbers at the top of the page."""
    facts = [Fact("Units", say_number(n_units))]
    if recording is not None:
        facts += [Fact("Duration", say_duration(recording.duration_s)), _activity_fact(recording)]
    if "method" in attrs:
        facts.append(Fact("Method", say_value(attrs["method"]).replace("_", " ")))
    for label, aliases in (
        ("AUROC", _AUROC),
        ("Average precision", _AP),
        ("Precision@K", _PRECISION),
    ):
        facts += _score_fact(label, aliases, scores)
    return facts


def list_recording(recording: Recording) -> list[Fact]:
    """Return what is known of the recording, the reader's notes last."""
    first, last = recording.t_start, recording.t_start + recording.duration_s
    facts = [
        Fact("Kind", "spike times" if isinstance(recording, SpikeRecording) else "fluorescence"),
        Fact("Units", say_number(recording.n_units)),
        Fact("Interval", f"{first:,.10g} s to {last:,.10g} s"),
        Fact("Duration", say_duration(recording.duration_s)),
    ]
    if isinstance(recording, SpikeRecording):
        facts.append(Fact("Spikes", say_number(len(recording.spike_times))))
        n_silent = int(np.count_nonzero(unit_rates_hz(recording) == 0))
        facts.append(Fact("Silent units", say_number(n_silent)))
    else:
        facts.append(Fact("Frames", say_number(len(recording.fluorescence))))
        facts.append(Fact("Frame rate", f"{recording.frame_rate_hz:.6g} Hz"))
    facts.append(Fact("Unit table columns", say_value(list(recording.units.columns))))
    notes = [Fact(f"Note: {name}", text) for name, text in flatten(recording.notes)]
    return facts + notes


def list_scores(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """Return one row a score; `bar` and `tick` are per cent of a bar where 0 to 1 fits."""
    return [
        {
            "score": str(row["score"]),
            "value": say_score(row["value"]),
            "chance": say_score(row.get("chance")),
            "meaning": "" if pd.isna(row.get("meaning")) else str(row["meaning"]),
            "bar": _per_cent(row["value"]),
            "tick": _per_cent(row.get("chance")),
        }
        for _, row in scores.iterrows()
    ]


def list_strongest(wiring: Wiring, sign: int) -> list[dict[str, str]]:
    """Return the pairs with the largest z of this sign (1 or -1), surest first."""
    size = np.where(wiring.is_pair & np.isfinite(wiring.z), sign * wiring.z, -1.0).ravel()
    n_wanted = min(N_STRONGEST, int(np.count_nonzero(size > 0)))
    if n_wanted == 0:
        return []
    candidates = np.argpartition(-size, n_wanted - 1)[:n_wanted]
    best = sorted(candidates.tolist(), key=lambda at: (-size[at], at))
    return [_describe_pair(wiring, *divmod(at, len(wiring.target_ids))) for at in best]


def list_strongest_edges(edges: pd.DataFrame, sign: int) -> list[dict[str, str]]:
    """Return the edges with the largest z of this sign (1 or -1), which come surest first."""
    return [
        {
            "source": str(row["source"]),
            "target": str(row["target"]),
            "weight": say_number(float(row["weight"])),
            "z": say_number(float(row["z"])),
        }
        for row in edges[sign * edges["z"] > 0].head(N_STRONGEST).to_dict("records")
    ]


def list_steps(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each step's manifest as text: parameters, provenance, arrays."""
    return [_describe_step(step) for step in steps]


def write_opening(steps: list[dict[str, Any]]) -> str:
    """Return the Python lines that open every artifact without connflow."""
    lines = ["import os", "import pandas as pd", "import xarray as xr", ""]
    lines += ['store = os.environ["CONNFLOW_STORE"]  # the folder or URL with the artifacts']
    for step in steps:
        for name in _openable(step):
            lines.append(_opening_line(step, name))
    return "\n".join(lines)


def _activity_fact(recording: Recording) -> Fact:
    if isinstance(recording, SpikeRecording):
        rates = unit_rates_hz(recording)
        return Fact("Mean rate", f"{say_number(rates.mean() if len(rates) else None)} Hz")
    return Fact("Frame rate", f"{recording.frame_rate_hz:.4g} Hz")


def _score_fact(label: str, aliases: tuple[str, ...], scores: pd.DataFrame | None) -> list[Fact]:
    if scores is None:
        return []
    plain = ["".join(c for c in str(name).lower() if c.isalnum()) for name in scores["score"]]
    for alias in aliases:
        if alias in plain:
            row = scores.iloc[plain.index(alias)]
            chance = say_score(row.get("chance"))
            return [Fact(label, say_score(row["value"]), f"chance {chance}")]
    return []


def _per_cent(value: Any) -> float | None:
    number = float("nan") if value is None else float(value)
    return round(100 * number, 1) if math.isfinite(number) and 0 <= number <= 1 else None


def _describe_pair(wiring: Wiring, source: int, target: int) -> dict[str, str]:
    truth = None if wiring.truth is None else wiring.truth[source, target]
    return {
        "source": str(wiring.source_ids[source]),
        "target": str(wiring.target_ids[target]),
        "weight": say_number(wiring.weight[source, target]),
        "z": say_number(wiring.z[source, target]),
        "truth": "" if truth is None else say_number(truth) if truth != 0 else "no synapse",
    }


def _describe_step(step: dict[str, Any]) -> dict[str, Any]:
    key = str(step.get("key", ""))
    return {
        "step": str(step.get("step", "?")),
        "version": say_value(step.get("version")),
        "key": key,
        "short_key": key[:8],
        "params": list(flatten(step.get("params") or {})),
        "inputs": list(flatten(step.get("inputs") or {})),
        "sources": list(flatten(step.get("sources") or {})),
        "wall_time": say_duration(step.get("wall_time_s")),
        "bytes": say_bytes(_size_bytes(step)),
        "created": say_value(step.get("created"))[:19].replace("T", " "),
        "host": say_value(step.get("host")),
        "git": _say_git(step.get("git")),
        "packages": ", ".join(f"{name} {v}" for name, v in flatten(step.get("packages") or {})),
        "arrays": [_describe_array(*item) for item in (step.get("arrays") or {}).items()],
    }


def _size_bytes(step: dict[str, Any]) -> int | None:
    files = step.get("files") or {}
    summed = sum(int(record.get("bytes", 0)) for record in files.values())
    return step.get("bytes", summed if files else None)


def _say_git(git: Mapping[str, Any] | None) -> str:
    if not git:
        return "not run from a checkout"
    state = ", with uncommitted changes" if git.get("dirty") else ""
    return f"commit {str(git.get('commit', '?'))[:12]}{state}"


def _describe_array(name: str, record: Mapping[str, Any]) -> tuple[str, str, str]:
    shape = (
        " \N{MULTIPLICATION SIGN} ".join(say_number(size) for size in record.get("shape", ()))
        or "scalar"
    )
    return name, shape, str(record.get("dtype", ""))


def _openable(step: dict[str, Any]) -> list[str]:
    """Return the datasets and tables of an artifact, from its files where they are listed."""
    tops = {PurePosixPath(name).parts[0] for name in step.get("files") or {}}
    named = sorted(name for name in tops if name.endswith((".zarr", ".parquet")))
    return named or (["data.zarr"] if step.get("arrays") else [])


def _opening_line(step: dict[str, Any], name: str) -> str:
    stem, _, kind = name.rpartition(".")
    word = str(step.get("step", "artifact"))
    variable = word if stem in ("data", "table") else f"{word}_{stem}"
    variable = variable if variable.isidentifier() else "artifact"
    opener = "xr.open_zarr" if kind == "zarr" else "pd.read_parquet"
    path = json.dumps(f"/{word}/{step.get('key', '')}/{name}")
    return f"{variable} = {opener}(store + {path})"
