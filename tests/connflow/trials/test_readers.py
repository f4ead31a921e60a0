"""Reading trials that were cut elsewhere."""

import json

import h5py
import numpy as np
import pytest
import zarr

from connflow.changepoint import ChangepointParams, read_pytau_database
from connflow.errors import InvalidInputError, RecordingError
from connflow.trials import (
    TrialsParams,
    find_description,
    read_trials,
    trials_from_dataset,
    trials_to_dataset,
)

COUNTS = np.random.default_rng(0).poisson(0.5, (6, 20, 4)).astype(np.uint8)
ARRAYS = {
    "spike_counts": COUNTS,
    "bin_size_s": 0.01,
    "t_start": -0.1,
    "unit_ids": np.array([5, 3, 9, 1]),
    "condition": np.array(["a", "b"] * 3),
    "region": np.array(["GC", "GC", "BLA", "BLA"]),
}


def write(path, **arrays):
    if path.suffix == ".npz":
        np.savez(path, **arrays)
        return str(path)
    group = zarr.open_group(str(path), mode="w")
    for name, values in arrays.items():
        if np.ndim(values) and np.asarray(values).dtype.kind in "iuf":
            group[name] = np.asarray(values)
        else:
            group.attrs[name] = np.asarray(values).tolist()
    return str(path)


@pytest.mark.parametrize("name", ["trials.npz", "trials.zarr"])
def test_counts_are_read_with_all_that_belongs_to_them(tmp_path, name):
    found = read_trials(write(tmp_path / name, **ARRAYS), TrialsParams())
    np.testing.assert_array_equal(found.values, COUNTS)
    assert (found.bin_size_s, found.t_start) == (0.01, -0.1)
    assert found.unit_ids.tolist() == [5, 3, 9, 1]
    assert found.table["condition"].tolist() == ["a", "b"] * 3
    assert found.units["region"].tolist() == ["GC", "GC", "BLA", "BLA"]


def test_a_dataset_and_back(tmp_path):
    trials = read_trials(write(tmp_path / "trials.npz", **ARRAYS), TrialsParams())
    again = trials_from_dataset(trials_to_dataset(trials), trials.units, trials.table)
    np.testing.assert_array_equal(again.values, trials.values)
    assert (again.bin_size_s, again.t_start) == (trials.bin_size_s, trials.t_start)


def test_bins_are_merged_and_windows_cut(tmp_path):
    path = write(tmp_path / "trials.npz", **ARRAYS)
    found = read_trials(path, TrialsParams(bin_size_s=0.03, t_start=0.0, t_stop=0.1))
    np.testing.assert_array_equal(found.values, COUNTS[:, 10:19].reshape(6, 3, 3, 4).sum(axis=2))
    assert found.t_start == pytest.approx(0.0)


def test_short_trials_end_in_nan(tmp_path):
    lengths = np.array([20, 10, 20, 5, 20, 20])
    found = read_trials(write(tmp_path / "t.npz", **ARRAYS, n_bins=lengths), TrialsParams())
    assert found.lengths.tolist() == lengths.tolist()
    merged = read_trials(str(tmp_path / "t.npz"), TrialsParams(bin_size_s=0.02))
    assert merged.lengths.tolist() == [10, 5, 10, 2, 10, 10]


@pytest.mark.parametrize(
    ("change", "params", "message"),
    [
        ({"spike_counts": COUNTS[0]}, {}, "expected .trial, time, unit"),
        ({"bin_size_s": None}, {}, "bin_size_s are needed"),
        ({"unit_ids": np.arange(3)}, {}, r"unit_ids has the shape \(3,\), expected \(4,\)"),
        ({}, {"bin_size_s": 0.015}, "take a multiple"),
        ({}, {"bin_size_s": 0.3}, "take a multiple"),
        ({}, {"t_start": 0.005}, "lies inside a bin"),
        ({}, {"t_stop": 5.0}, "does not lie in it"),
        (
            {"n_bins": np.array([20, 0, 20, 20, 20, 20])},
            {},
            r"nothing was observed in trials \[1\]",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path, change, params, message):
    arrays = {name: one for name, one in (ARRAYS | change).items() if one is not None}
    path = write(tmp_path / "trials.npz", **arrays)
    with pytest.raises(InvalidInputError, match=message):
        read_trials(path, TrialsParams(**params))


def test_pickles_are_refused(tmp_path):
    np.savez(tmp_path / "trials.npz", spike_counts=np.array([COUNTS, None], object))
    with pytest.raises(RecordingError, match="not opened"):
        read_trials(str(tmp_path / "trials.npz"), TrialsParams())
    (tmp_path / "fit.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(RecordingError, match="run code of a stranger"):
        read_trials(str(tmp_path / "fit.pkl"), TrialsParams())


@pytest.fixture
def blech(tmp_path):
    """A session of two tastes as blech_clust leaves it, with a laser in half of the trials."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "AM12_4Tastes_200831"
    folder.mkdir()
    file = folder / "AM12_4Tastes_200831.h5"
    arrays = {}
    with h5py.File(file, "w") as opened:
        for taste, n_trials in ((0, 5), (10, 4)):
            spikes = (rng.random((n_trials, 3, 7000)) < 0.02).astype(np.uint8)
            group = opened.create_group(f"spike_trains/dig_in_{taste}")
            group["spike_array"] = arrays[taste] = spikes
            group["laser_durations"] = np.array([2500, 0] * 3)[:n_trials]
        descriptor = np.array([(3,), (20,), (5,)], dtype=[("electrode_number", "i4")])
        opened["unit_descriptor"] = descriptor
    info = {
        "electrode_layout": {"gc": [[0, 1, 2, 3], [4, 5]], "bla": [[20, 21]], "emg": [[60]]},
        "taste_params": {"dig_ins": [0, 10], "tastes": ["nacl", "suc"]},
    }
    (folder / "AM12.info").write_text(json.dumps(info))
    return file, arrays


def test_sessions_of_blech_clust_are_read_with_tastes_laser_and_regions(blech):
    file, arrays = blech
    found = read_trials(str(file), TrialsParams(bin_size_s=0.05, t_stop=2.0))
    assert found.table["condition"].tolist() == ["nacl"] * 5 + ["suc"] * 4
    assert found.table["laser"].tolist()[:2] == ["on", "off"]
    assert found.units["region"].tolist() == ["gc", "bla", "gc"]
    assert (found.t_start, found.bin_size_s, found.n_time_bins) == (0.0, 0.05, 40)
    expected = arrays[10][1, :, 2000:4000].reshape(3, 40, 50).sum(axis=2).T
    np.testing.assert_array_equal(found.values[6], expected)
    assert read_trials(str(file.parent), TrialsParams()).n_trials == 9
    assert find_description(str(file)) == str(file.parent / "AM12.info")


def test_without_a_description_tastes_are_called_by_their_nodes(blech):
    file, _ = blech
    (file.parent / "AM12.info").unlink()
    found = read_trials(str(file), TrialsParams())
    assert set(found.table["condition"]) == {"dig_in_0", "dig_in_10"}
    assert "region" not in found.units
    assert find_description(str(file)) is None


def test_an_hdf5_file_without_spike_arrays_is_refused(tmp_path):
    with h5py.File(tmp_path / "raw.h5", "w") as opened:
        opened["raw"] = np.zeros(3)
    with pytest.raises(RecordingError, match="blech_make_arrays"):
        read_trials(str(tmp_path / "raw.h5"), TrialsParams())


def test_the_model_database_of_pytau_says_how_to_fit_again(tmp_path):
    path = tmp_path / "model_database.csv"
    path.write_text(
        ",preprocess.time_lims,preprocess.bin_width,preprocess.data_transform,model.states,"
        "data.data_dir,data.animal_name,data.session_date,data.taste_num,data.region_name,"
        "data.laser_type,model.model_template_name,exp.model_id,exp.save_path\n"
        '0,"[2000, 4000]",50,trial_shuffled,4,/data/AM12_1,AM12,1,0,gc,on,'
        "single_taste_poisson_dirichlet,ab12,/m/x_ab12\n"
        '0,"[2000, 4000]",25,None,3,/data/AM13_1,AM13,1,all,all,None,'
        "all_taste_poisson,cd34,/m/x_cd34\n"
        '0,"[2000, 4000]",25,smoothed,3,/data/AM13_1,AM13,1,all,all,,'
        "gaussian_changepoint_mean_var_2d,ef56,/m/x_ef56\n"
    )
    table = read_pytau_database(path)
    assert table["animal"].tolist() == ["AM12", "AM13", "AM13"]
    first, second, third = table["settings"]
    assert first["trials"] == {"bin_size_s": 0.05, "t_start": 0.0, "t_stop": 2.0}
    assert first["changepoint"] == {
        "n_states": 4,
        "timing": "uniform",
        "sequence": "skipping",
        "surrogate": "trial_shuffled",
        "region": "gc",
    }
    assert second["changepoint"] == {"n_states": 3, "timing": "uniform"}
    assert third["changepoint"]["emission"] == "gaussian_mean_variance"
    for one in table["settings"]:
        ChangepointParams.parse(one["changepoint"])
    taste_and_laser, nothing, transform = table["left_out"]
    assert "taste 0" in taste_and_laser
    assert "laser on" in taste_and_laser
    assert nothing == ""
    assert transform == "the transform smoothed"
    with pytest.raises(RecordingError, match="pickles"):
        read_pytau_database(tmp_path / "x_ab12.pkl")
    path.write_text("a,b\n1,2\n")
    with pytest.raises(RecordingError, match="no model database"):
        read_pytau_database(path)
