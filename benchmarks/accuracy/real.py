"""Real recordings, and published simulations, from the folder of shared data where it exists.

One has known synapses and the answers of six published methods; one compares measured responses
with anatomy; for the others edges are counted on the recording and on surrogates of it. Nothing is
tuned on any of them.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks.accuracy.answer import Answer
from benchmarks.accuracy.contenders import SPIKES, Contender
from benchmarks.accuracy.scoring import discoveries, score
from connflow.connectivity import ConnectivityParams, infer_connectivity, spike_trains, traces
from connflow.connectivity.methods import METHODS
from connflow.connectivity.surrogates import jittered
from connflow.recording.model import SpikeRecording, unit_table

N_SURROGATES = 5
JITTER_S = 0.025
KNOWN = (
    "auto",
    "both",
    "kernel_regression",
    "glm",
    "ccg",
    "transfer_entropy",
    "tspe_z",
    "tspe",
    "glmcc",
    "sccg",
)
COUNTED = ("auto", "both", "ccg")


def data_folder() -> Path | None:
    """Return the folder of shared data: ``CONNFLOW_SHARED_DATA``, or beside the repository."""
    named = os.environ.get("CONNFLOW_SHARED_DATA", "../shared/data")
    return Path(named) if Path(named).is_dir() else None


def run_real(file: Path) -> None:
    """Run all and write the results; nothing where the data are absent."""
    folder = data_folder()
    if folder is None:
        print("real recordings: the folder is absent, see CONNFLOW_SHARED_DATA", flush=True)
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[dict[str, Any]]] = {"known": [], "worm": [], "edges": []}
    for section, rows in (
        ("known", lambda: known_synapses(folder / "connectivity-ground-truth")),
        ("worm", lambda: worm(folder / "worm-signal-propagation")),
        ("edges", lambda: spike_edges(folder)),
        ("edges", lambda: count_edges(folder)),
    ):
        found[section] += rows()
        file.write_text(json.dumps(found, indent=1))  # what is done is kept


# --- known synapses -----------------------------------------------------------------------------


def known_synapses(folder: Path) -> list[dict[str, Any]]:
    """Score ours, and the six published answers, on 20 observed cells of 2000."""
    if not folder.is_dir():
        return []
    recording = read_known(folder / "sim_20of2000_long.npz")
    rows = []
    for name in KNOWN:
        answer = _try(SPIKES[name], recording)
        if answer is not None:
            assert recording.weights is not None
            scores = score(answer, recording.weights)
            rows.append({"method": SPIKES[name].label, **_brief(scores)})
    rows += [
        {"method": f"{file.stem}, as published", **published(file, recording)}
        for file in sorted(folder.glob("reference-results/*.npz"))
    ]
    return sorted(rows, key=lambda row: -row["average_precision"])


def read_known(file: Path) -> SpikeRecording:
    """Read spikes and synapses; the file's rows are (source, target, weight)."""
    with np.load(file) as arrays:
        times, ids, edges = arrays["times"], arrays["ids"], arrays["marked_edges"]
        nodes = arrays["nodes"]
    order = np.argsort(times, kind="stable")
    place = {int(node): row for row, node in enumerate(nodes)}
    weights = np.zeros((len(nodes), len(nodes)), np.float32)
    for source, target, weight in edges:
        if np.isfinite(weight):
            weights[place[int(source)], place[int(target)]] = weight
    return SpikeRecording(
        spike_times=times[order],
        spike_units=np.array([place[int(unit)] for unit in ids[order]], np.int32),
        units=unit_table(np.asarray(nodes, np.int64)),
        t_start=0.0,
        t_stop=3600.0,
        weights=weights,
    )


def published(file: Path, recording: SpikeRecording) -> dict[str, float]:
    """Score a published answer at its own threshold; a nan score ranks last."""
    with np.load(file) as arrays:
        stats, threshold = arrays["stats"], float(arrays["threshold"][0])
    place = {int(unit): row for row, unit in enumerate(recording.unit_ids)}
    z = np.full((recording.n_units, recording.n_units), -np.inf)
    for source, target, value in stats:
        z[place[int(source)], place[int(target)]] = value
    assert recording.weights is not None
    pairs = ~np.eye(len(z), dtype=bool)
    connected, strength = recording.weights[pairs] != 0, z[pairs]
    return {
        "auroc": float(roc_auc_score(connected, strength)),
        "average_precision": float(average_precision_score(connected, strength)),
        "auroc_transposed": float(roc_auc_score(connected, z.T[pairs])),
        **discoveries(strength > threshold, connected),
    }


def _brief(scores: dict[str, Any]) -> dict[str, float]:
    left_out = ("curve", "chance", "precision_at_density", "sign_accuracy")
    return {name: value for name, value in scores.items() if name not in left_out}


def _try(contender: Contender, recording: SpikeRecording) -> Answer | None:
    if not contender.is_ready(recording):
        return None
    try:
        return contender.infer(recording)
    except Exception as error:  # one that fails must not lose the others
        print(f"{contender.label}: FAILED: {type(error).__name__}: {error}", flush=True)
        return None


# --- the worm -----------------------------------------------------------------------------------


def worm(folder: Path) -> list[dict[str, Any]]:
    """Compare measured responses with anatomical contact; no method of ours takes part.

    The file has matrices only, with rows responding: they are transposed to [source, target].
    """
    file = folder / "worm_signal_propagation.npz"
    if not file.exists():
        return []
    with np.load(file) as arrays:
        given = {name: np.asarray(arrays[name]).T for name in arrays.files if name != "neuron_id"}
    contact = (given["chem"] + given["gap"]) > 0
    rows = []
    for strain in ("wt", "unc31"):
        scores = {
            "response, -q": -given[f"{strain}_q"],
            "response, size of dF/F": np.abs(given[f"{strain}_dFF"]),
        }
        for name, values in scores.items():
            rows.append({"strain": strain, "score": name, **_agreement(values, contact)})
    return rows


def _agreement(values: NDArray[np.floating], contact: NDArray[np.bool_]) -> dict[str, float]:
    pairs = ~np.eye(len(values), dtype=bool) & np.isfinite(values)
    joined, strength = contact[pairs], values[pairs]
    return {
        "n_pairs": float(pairs.sum()),
        "chance": float(joined.mean()),
        "auroc": float(roc_auc_score(joined, strength)),
        "auroc_transposed": float(roc_auc_score(contact.T[pairs], strength)),
        "average_precision": float(average_precision_score(joined, strength)),
    }


# --- edges on recordings and on surrogates ------------------------------------------------------


def spike_edges(folder: Path) -> Iterator[dict[str, Any]]:
    """Count edges on spike recordings and on the same with spikes jittered by 25 ms."""
    for title, read in (
        ("spiketrains-20cells, 5400 s", read_twenty_cells),
        ("hippocampus-linear-track, 33 min", read_linear_track),
    ):
        recording = read(folder)
        if recording is None:
            continue
        for contender in (SPIKES[name] for name in COUNTED):
            real = _count(contender, recording)
            if real is None:
                continue
            fakes = [_count(contender, jitter(recording, seed)) for seed in range(N_SURROGATES)]
            yield _edge_row(title, contender.label, recording.n_units, real, fakes, "jittered")


def read_twenty_cells(folder: Path) -> SpikeRecording | None:
    """Read the twenty cells, clipped to the interval that their authors analyse."""
    file = folder / "spiketrains-20cells" / "glmcc_20cells.npz"
    if not file.exists():
        return None
    with np.load(file) as arrays:
        times, units = arrays["spike_time_ms"] / 1000, arrays["spike_unit"].astype(np.int32)
    return _spikes(times, units, 20, 0.0, 5400.0)


def read_linear_track(folder: Path) -> SpikeRecording | None:
    """Read the hippocampal units, running and resting."""
    file = folder / "hippocampus-linear-track" / "linear_track.npz"
    if not file.exists():
        return None
    with np.load(file) as arrays:
        times, units = arrays["spike_time"], arrays["spike_unit"].astype(np.int32)
    return _spikes(times, units, 31, 4397.0, 6366.0)


def _spikes(
    times: NDArray[np.floating],
    units: NDArray[np.int32],
    n_units: int,
    t_start: float,
    t_stop: float,
) -> SpikeRecording:
    inside = (times >= t_start) & (times < t_stop)
    order = np.argsort(times[inside], kind="stable")
    return SpikeRecording(
        spike_times=np.asarray(times[inside][order], np.float64),
        spike_units=units[inside][order],
        units=unit_table(np.arange(n_units)),
        t_start=t_start,
        t_stop=t_stop,
    )


def jitter(recording: SpikeRecording, seed: int) -> SpikeRecording:
    """Redraw each spike within its window of 25 ms."""
    trains = spike_trains(recording)
    moved = jittered(trains, JITTER_S, np.random.default_rng(seed))
    times = recording.t_start + (moved.ticks - trains.segments[0, 0]) * trains.interval_s
    kept = times < recording.t_stop
    return replace(recording, spike_times=times[kept], spike_units=moved.units[kept])


def count_edges(folder: Path) -> Iterator[dict[str, Any]]:
    """Count edges on binned trials and on the same with each unit's trials shuffled."""
    for title, read, method in (
        ("steinmetz-visual-cortex, session 2, 10 ms", read_steinmetz, "auto"),
        ("allen-neuropixels-movie, VISp, 1 s", read_allen, "partial_correlation"),
    ):
        counts, interval_s = read(folder)
        if counts is None or (method != "auto" and method not in METHODS):
            continue
        params = ConnectivityParams.parse({"method": method})
        real = _count_trials(counts, interval_s, params)
        shuffled = (shuffle_trials(counts, seed) for seed in range(N_SURROGATES))
        fakes = [_count_trials(trials, interval_s, params) for trials in shuffled]
        if real is not None:
            yield _edge_row(title, method, counts.shape[2], real, fakes, "trials shuffled")


Trials = NDArray[np.integer]
"""(n_trials, n_time_bins, n_units)."""


def read_steinmetz(folder: Path) -> tuple[Trials | None, float]:
    """Read session 2; units with at least 0.5 spikes a second."""
    file = folder / "steinmetz-visual-cortex" / "session2_Cori_2016-12-17.npz"
    if not file.exists():
        return None, 0.01
    with np.load(file) as arrays:
        counts = arrays["counts"].transpose(0, 2, 1)
    return counts[:, :, counts.mean(axis=(0, 1)) > 0.005], 0.01


def read_allen(folder: Path) -> tuple[Trials | None, float]:
    """Read the units of primary visual cortex."""
    file = folder / "allen-neuropixels-movie" / "session_791319847_natural_movie_one.npz"
    if not file.exists():
        return None, 1.0
    with np.load(file) as arrays:
        counts = arrays["counts"][arrays["unit_region"] == "VISp"].transpose(1, 2, 0)
    return counts[:, :, counts.std(axis=(0, 1)) > 0], 1.0


def shuffle_trials(counts: Trials, seed: int) -> Trials:
    """Give each unit the trials in an order of its own: locked responses stay, the rest goes."""
    rng = np.random.default_rng(seed)
    shuffled = counts.copy()
    for unit in range(counts.shape[2]):
        shuffled[:, :, unit] = counts[rng.permutation(len(counts)), :, unit]
    return shuffled


def _count_trials(counts: Trials, interval_s: float, params: ConnectivityParams) -> int | None:
    n_trials, n_bins, n_units = counts.shape
    rows = counts.reshape(-1, n_units)
    starts = np.arange(n_trials) * n_bins
    segments = np.stack([starts, starts + n_bins], axis=1).astype(np.int64)
    try:
        found = infer_connectivity(
            traces(rows, interval_s, segments), np.arange(n_units, dtype=np.int64), params
        )
    except Exception as error:  # one that fails must not lose the others
        print(f"{params.method} on trials: FAILED: {type(error).__name__}: {error}", flush=True)
        return None
    return int(found["mask"].sum())


def _count(contender: Contender, recording: SpikeRecording) -> int | None:
    answer = _try(contender, recording)
    return None if answer is None or answer.mask is None else int(answer.mask.sum())


def _edge_row(
    title: str, method: str, n_units: int, real: int, fakes: list[int | None], how: str
) -> dict[str, Any]:
    known = [n for n in fakes if n is not None]
    return {
        "recording": title,
        "method": method,
        "n_pairs": n_units * (n_units - 1),
        "edges": real,
        "surrogate_edges": known,
        "surrogate": how,
    }


# --- what the page says -------------------------------------------------------------------------


def describe_real(found: dict[str, list[dict[str, Any]]]) -> str:
    """Return the part of the page on real recordings, in Markdown."""
    parts = ["## Recordings, and published simulations\n", *_describe_known(found["known"])]
    parts += _describe_worm(found["worm"])
    parts += _describe_edges(found["edges"])
    return "\n".join(parts)


def _describe_known(rows: list[dict[str, Any]]) -> Iterator[str]:
    if not rows:
        return
    yield (
        "**20 observed cells of 2000, known synapses** (Donner et al. 2024; 1 h at 1.3 Hz, 18 of "
        "380 pairs connected, so one pair more or less moves MCC by about .03). MCC is taken at "
        "each method's own level; transposed, an answer should be near .5.\n"
    )
    names = ("auroc", "average_precision", "mcc", "n_found", "false_discovery_proportion", "recall")
    head = ("method", "AUROC", "AP", "MCC", "found", "FDP", "recall", "AUROC transposed")
    yield _markdown(head, [[r["method"], *_cells(r, (*names, "auroc_transposed"))] for r in rows])


def _describe_worm(rows: list[dict[str, Any]]) -> Iterator[str]:
    if not rows:
        return
    yield (
        "**Worm, responses against anatomy** (Randi et al. 2023). Matrices only: no method of "
        "connectivity inference can be run. Measured functional responses agree with anatomical "
        "contact barely more than chance, and not in direction; neither is the other's truth.\n"
    )
    names = ("chance", "auroc", "auroc_transposed", "average_precision")
    head = ("strain", "score", "pairs", "joined", "AUROC", "AUROC transposed", "AP")
    cells = [[r["strain"], r["score"], f"{r['n_pairs']:.0f}", *_cells(r, names)] for r in rows]
    yield _markdown(head, cells)


def _describe_edges(rows: list[dict[str, Any]]) -> Iterator[str]:
    if not rows:
        return
    yield (
        "**Edges on recordings without known wiring**, at a false discovery rate of 5 %, beside "
        f"those on {N_SURROGATES} surrogates of the same recording (mean, largest). An edge here "
        "is a statistical influence among the recorded units, not a synapse. What is slower than "
        "the jitter, such as common changes of rate, stays in jittered surrogates, and of synapses "
        "what the jitter smears: their edges are no count of the false ones.\n"
    )
    head = ("recording", "method", "pairs", "edges", "on surrogates", "surrogate")
    cells = [
        [
            row["recording"],
            row["method"],
            f"{row['n_pairs']}",
            f"{row['edges']}",
            _mean_and_largest(row["surrogate_edges"]),
            row["surrogate"],
        ]
        for row in rows
    ]
    yield _markdown(head, cells)


def _mean_and_largest(values: list[int]) -> str:
    return f"{np.mean(values):.1f}, {max(values)}" if values else ""


def _cells(row: dict[str, Any], names: tuple[str, ...]) -> list[str]:
    as_counts = ("n_found",)
    return [
        "" if name not in row else f"{row[name]:.0f}" if name in as_counts else f"{row[name]:.3f}"
        for name in names
    ]


def _markdown(head: tuple[str, ...], rows: list[list[str]]) -> str:
    lines = [list(head), ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
