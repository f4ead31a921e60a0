"""Results kept as JSON lines, and the key under which each is known."""

import ast
import hashlib
import importlib.util
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.cases import Case
from benchmarks.accuracy.contenders import Contender
from connflow.recording.model import SpikeRecording, unit_table
from connflow.recording.network import STEPS_PER_SECOND

_FOLLOWED = ("connflow.connectivity", "connflow.deconvolution", "benchmarks.accuracy.rivals")
_ALWAYS = ("connflow.connectivity.inference", "connflow.connectivity.significance")
_SHARED = ("connflow.connectivity.methods", "connflow.connectivity.params")
"""Lists of all methods: adding one must not make the others' results stale."""


@dataclass(frozen=True)
class Results:
    """A file of results, one JSON object a line; the last line of a key counts.

    Parameters
    ----------
    file : Path
    """

    file: Path

    def read(self) -> dict[str, dict[str, Any]]:
        """Return all results by key."""
        if not self.file.exists():
            return {}
        rows = (json.loads(line) for line in self.file.read_text().splitlines())
        return {row["key"]: row for row in rows}

    def add(self, row: dict[str, Any]) -> None:
        """Append a result."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a") as stream:
            stream.write(json.dumps(row) + "\n")


def recording_key(case: str, described: Case, seed: int) -> str:
    """Return the key of a recording: another network, camera or seed gives another."""
    return _digest(
        case,
        described.network.model_dump(mode="json", exclude_defaults=True),
        _describe(described.image),
        described.simulate.__name__,
        seed,
    )


def key_of(case: str, described: Case, seed: int, name: str, contender: Contender) -> str:
    """Return the key of a result: another recording, parameter or program gives another."""
    programs = [digest_of(module) for module in contender.modules]
    recording = recording_key(case, described, seed)
    return _digest(recording, name, _describe(contender.infer), programs)


def _digest(*meant: Any) -> str:
    return hashlib.sha256(json.dumps(meant, sort_keys=True).encode()).hexdigest()[:20]


def _describe(function: Any) -> str:
    """Return what a function, or a partial one, is bound to."""
    if function is None:
        return ""
    bound = getattr(function, "keywords", {})
    return ", ".join(f"{name}={_values(value)}" for name, value in sorted(bound.items()))


def _values(value: Any) -> str:
    # only what differs from the defaults, so that a new parameter changes no key
    dump = getattr(value, "model_dump_json", None)
    return dump(exclude_defaults=True) if dump else repr(value)


@cache
def digest_of(module: str) -> str:
    """Return a digest of the program of a module and of what it uses; comments do not count."""
    seen: dict[str, str] = {}
    roots = (module, *_ALWAYS) if module.startswith("connflow.connectivity") else (module,)
    for root in roots:
        _follow(root, seen)
    return hashlib.sha256(json.dumps(sorted(seen.items())).encode()).hexdigest()[:16]


def _follow(module: str, seen: dict[str, str]) -> None:
    spec = importlib.util.find_spec(module)
    if module in seen or module in _SHARED or spec is None or spec.origin is None:
        return
    text = Path(spec.origin).read_text()
    seen[module] = hashlib.sha256(_without_comments(text).encode()).hexdigest()
    for used in _imports(text):
        if used.startswith(_FOLLOWED):
            _follow(used, seen)


def _imports(text: str) -> Iterator[str]:
    return iter(re.findall(r"^\s*from ([\w.]+) import", text, re.MULTILINE))


def _without_comments(text: str) -> str:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            first.value.value = ""
    return ast.dump(tree)


def keep_spikes(case: Case, seed: int, folder: Path) -> SpikeRecording:
    """Return the spikes of a case and seed, simulated once and kept as an npz file."""
    network = case.seeded(seed)
    file = folder / f"{_digest(case.simulate.__name__, network.model_dump(mode='json'))}.npz"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part.npz")
        _write_spikes(case.simulate(network), part)
        part.rename(file)
    return _read_spikes(file, network.duration_s)


def _write_spikes(spikes: SpikeRecording, file: Path) -> None:
    columns = {f"unit_{name}": spikes.units[name].to_numpy() for name in spikes.units}
    texts = {name: values.astype(str) for name, values in columns.items() if values.dtype == object}
    arrays: dict[str, Any] = {
        "steps": np.round(spikes.spike_times * STEPS_PER_SECOND).astype(np.int64),
        "units": spikes.spike_units,
        "weights": spikes.weights,
        "ids": spikes.unit_ids,
        **columns,
        **texts,
    }
    np.savez(file, **arrays)


def _read_spikes(file: Path, duration_s: float) -> SpikeRecording:
    with np.load(file) as kept:
        units = unit_table(kept["ids"])
        for name in kept.files:
            if name.startswith("unit_"):
                units[name.removeprefix("unit_")] = kept[name]
        return SpikeRecording(
            spike_times=kept["steps"] / STEPS_PER_SECOND,
            spike_units=kept["units"],
            units=units,
            t_start=0.0,
            t_stop=duration_s,
            weights=kept["weights"],
        )
