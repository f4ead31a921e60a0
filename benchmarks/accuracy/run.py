"""Running contenders on cases, one result at a time, each kept before the next begins."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks._measure import measure
from benchmarks.accuracy.cases import Case
from benchmarks.accuracy.contenders import Contender, contenders_of
from benchmarks.accuracy.kept import Results, keep_spikes, key_of, recording_key
from benchmarks.accuracy.scoring import score
from connflow.recording.model import Recording


@dataclass(frozen=True)
class Entry:
    """One contender on one recording.

    Parameters
    ----------
    key, recording : str
        Keys of the result and of the recording.
    case, name : str
        Of the case and of the contender.
    seed : int
    contender : Contender
    """

    key: str
    recording: str
    case: str
    name: str
    seed: int
    contender: Contender


def entries_of(name: str, case: Case, seed: int) -> Iterator[Entry]:
    """Yield all who compete in a case."""
    recording = recording_key(name, case, seed)
    for label, contender in contenders_of(case.kind).items():
        if label not in case.skip:
            key = key_of(name, case, seed, label, contender)
            yield Entry(key, recording, name, label, seed, contender)


def run_case(
    name: str,
    case: Case,
    seeds: Iterable[int],
    results: Results,
    folder: Path,
    only: tuple[str, ...] = (),
) -> None:
    """Run what is missing of a case.

    Parameters
    ----------
    name : str
    case : Case
    seeds
    results : Results
        Where results are, and go.
    folder : Path
        Where simulated spikes are kept.
    only
        Contenders to run; all if empty.
    """
    known = results.read()
    for seed in seeds:
        entries = entries_of(name, case, seed)
        wanted = [e for e in entries if e.key not in known and (not only or e.name in only)]
        if not wanted:
            continue
        recording = case.record(seed, keep_spikes(case, seed, folder))
        for entry in wanted:
            row = _run(entry, recording)
            if row is not None:
                results.add(row)


def _run(entry: Entry, recording: Recording) -> dict[str, Any] | None:
    """Return a result, or None, and say why, where there can be none."""
    place = f"{entry.case} seed {entry.seed} {entry.name}"
    assert recording.weights is not None
    if not entry.contender.is_ready(recording):
        return None
    try:
        answer, cost = measure(lambda: entry.contender.infer(recording))
    except Exception as error:  # one that fails must not lose the others
        print(f"{place}: FAILED: {type(error).__name__}: {error}", flush=True)
        return None
    scores = score(answer, recording.weights)
    brief = ("auroc", "average_precision", "precision_at_density", "false_discovery_proportion")
    shown = ", ".join(f"{name} {scores[name]:.3f}" for name in brief if name in scores)
    print(f"{place}: {shown}; {cost.cpu_s:.1f} CPU s", flush=True)
    return {
        "key": entry.key,
        "recording": entry.recording,
        "case": entry.case,
        "seed": entry.seed,
        "contender": entry.name,
        "scores": scores,
        "notes": answer.notes,
        "cpu_s": round(cost.cpu_s, 2),
        "peak_gb": round(cost.peak_gb, 2),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(sys.orig_argv[1:]),
    }
