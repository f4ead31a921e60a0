"""Recordings for the flow tests, small simulated ones and real ones in our own file names."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io


@pytest.fixture
def store(tmp_path):
    return str(tmp_path / "store")


@pytest.fixture
def spike_file(tmp_path):
    """Ten Poisson units for 20 s, of which unit 5 drives unit 9 two milliseconds later."""
    rng = np.random.default_rng(0)
    trains = {unit: np.sort(rng.uniform(0, 19.9, 200)) for unit in range(5, 15)}
    trains[9] = np.sort(np.concatenate([trains[9], trains[5] + 0.002]))
    times = np.concatenate(list(trains.values()))
    units = np.repeat(list(trains), [len(train) for train in trains.values()])
    order = np.argsort(times, kind="stable")
    path = tmp_path / "spikes.npz"
    np.savez(path, spike_times=times[order], spike_units=units[order], t_start=0.0, t_stop=20.0)
    return str(path)


@pytest.fixture
def known_wiring(shared_data, tmp_path):
    """The ground-truth network with its edge list as a matrix, source first."""
    with np.load(shared_data / "connectivity-ground-truth" / "sim_20of2000_long.npz") as file:
        source, target, weight = file["marked_edges"].T
        weights = np.zeros((20, 20))
        weights[source.astype(int), target.astype(int)] = np.nan_to_num(weight)
        path = tmp_path / "known_wiring.npz"
        np.savez(
            path,
            spike_times=file["times"],
            spike_units=file["ids"],
            unit_ids=file["nodes"],
            weights=weights,
        )
    return str(path)


@pytest.fixture
def imaged_cell(shared_data, tmp_path):
    """One real cell, dF/F with its true spikes; a few frames are made missing."""
    folder = shared_data / "calcium-ground-truth" / "DS10-GCaMP6f-m-V1-neuropil-corrected"
    file = scipy.io.loadmat(sorted(folder.glob("*.mat"))[0])
    record = file["CAttached"][0][0][0][0]
    trace = record["fluo_mean"].ravel().astype(np.float32)
    times = record["fluo_time"].ravel()
    length = min(len(trace), len(times))
    path = tmp_path / "imaged_cell.npz"
    np.savez(path, fluorescence=trace[:length, None], frame_times=times[:length])
    spikes = record["events_AP"].ravel() / 1e4
    return str(path), spikes[np.isfinite(spikes)]


def finished(store):
    """Return the steps of which the store holds finished artifacts, and all its files."""
    files = [path for path in Path(store).rglob("*") if path.is_file()]
    return {path.parts[-3] for path in files if path.name == "manifest.json"}, files
