"""What the readers refuse; each message names the file, the field and the remedy."""

import json
import os
import pickle
import re
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray as xr
import zarr

from connflow.errors import RecordingError
from connflow.recording.params import RecordingParams
from connflow.recording.readers import read_recording


def assert_refused(uri: str, *words: str, **params: Any) -> str:
    """Reading raises `RecordingError`, naming the file first, then these words in this order."""
    with pytest.raises(RecordingError) as caught:
        read_recording(uri, RecordingParams(**params))
    message = str(caught.value)
    assert re.search(".*".join(map(re.escape, [uri, *words])), message), message
    return message


SPIKES: dict[str, Any] = {"spike_times": [1.0, 2.0, 3.0], "spike_units": [5, 9, 5]}
TRACES: dict[str, Any] = {
    "fluorescence": np.arange(24.0).reshape(8, 3) % 7,
    "frame_rate_hz": 10.0,
    "unit_ids": [4, 8, 6],
}


def trace_with(frames: slice, unit: int, value: float) -> np.ndarray:
    traces: np.ndarray = TRACES["fluorescence"].copy()
    traces[frames, unit] = value
    return traces


BAD_SPIKES = {
    "nan": (
        {"spike_times": [1, np.nan, np.inf]},
        ("spike_times", "2 values", "index 1, unit 9", "exclude_units"),
    ),
    "unsorted": (
        {"spike_times": [1.0, 3.0, 2.0]},
        ("spike_times", "index 2", "recording.on_unsorted to sort"),
    ),
    "duplicate": (
        {"spike_times": [1.0, 1.0, 1.0]},
        ("spike_times", "unit 5 spikes 2 times at 1 s", "recording.on_duplicate to drop"),
    ),
    "negative": (
        {"spike_times": [-1.0, 2.0, 3.0]},
        ("spike_times", "1 spikes", "recording.t_start"),
    ),
    "before the file's start": (
        {"t_start": 1.5},
        ("t_start", "1 spikes lie before", "recording.t_start"),
    ),
    "at the file's end": (
        {"t_stop": 3.0},
        ("t_stop", "1 spikes lie at or after", "half open", "recording.t_stop"),
    ),
    "no finite start": ({"t_start": np.nan}, ("t_start", "one finite number")),
    "two starts": ({"t_start": [0.0, 1.0]}, ("t_start", "one finite number")),
    "half a unit": (
        {"spike_units": [5, 9.5, 5]},
        ("spike_units", "9.5 at index 1", "integers"),
    ),
    "nan unit": ({"spike_units": [5, np.nan, 5]}, ("spike_units", "nan at index 1")),
    "named units": ({"spike_units": ["a", "b", "a"]}, ("spike_units", "expected numbers")),
    "unknown unit": ({"unit_ids": [5, 7]}, ("spike_units", "units 9", "unit_ids")),
    "no unit": ({"unit_ids": np.empty(0, int)}, ("unit_ids", "it is empty", "List")),
    "id twice": ({"unit_ids": [5, 9, 5]}, ("unit_ids", "5", "more than once")),
    "length": ({"spike_units": [5, 9]}, ("spike_units", "2 unit ids for 3 spike times")),
    "two axes": ({"spike_times": np.ones((3, 1))}, ("spike_times", "1 axes", "(3, 1)")),
    "empty": (
        {"spike_times": np.empty(0), "spike_units": np.empty(0, int)},
        ("spike_times", "no spikes"),
    ),
    "weights of edges": (
        {"weights": np.ones((2, 3)), "unit_ids": [5, 9]},
        ("weights", "(2, 2), (source, target), found (2, 3)", "unit_ids"),
    ),
    "weights too few": ({"weights": np.ones((1, 1))}, ("weights", "(2, 2)", "found (1, 1)")),
    "weights of unknown units": ({"weights": np.ones((4, 4))}, ("weights", "Add unit_ids")),
    "weights nan": (
        {"weights": [[0, np.nan], [0, 0]]},
        ("weights", "from row 0 to column 1 is nan", "Write 0"),
    ),
}

BAD_TRACES = {
    "long gap": (
        {"fluorescence": trace_with(slice(2, 6), 1, np.nan)},
        ("fluorescence", "unit 8 is NaN for 4 frames", "from frame 2", "exclude_units"),
    ),
    "all nan": (
        {"fluorescence": trace_with(slice(None), 2, np.nan)},
        ("fluorescence", "unit 6", "8 frames"),
    ),
    "infinite": (
        {"fluorescence": trace_with(slice(3, 4), 0, np.inf)},
        ("fluorescence", "unit 4, frame 3", "exclude_units"),
    ),
    "beyond float32": ({"fluorescence": trace_with(slice(1), 0, 1e300)}, ("float32",)),
    "constant": (
        {"fluorescence": trace_with(slice(None), 1, 2.5)},
        ("fluorescence", "units 8 are constant", "recording.exclude_units"),
    ),
    "transposed": (
        {"fluorescence": TRACES["fluorescence"].T},
        ("fluorescence", "(3, 8)", "(time, unit)", "3 unit ids", "Transpose"),
    ),
    "one frame": ({"fluorescence": np.ones((1, 3))}, ("fluorescence", "at least 2 frames")),
    "dropped frame": (
        {"frame_times": [0, 0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8]},
        ("frame_times", "1 intervals", "from frame 3 to 4", "Resample"),
    ),
    "frame time back": (
        {"frame_times": [0, 0.1, 0.2, 0.1, 0.2, 0.3, 0.4, 0.5]},
        ("frame_times", "from frame 2 to 3"),
    ),
    "frame time nan": (
        {"frame_times": [0, 0.1, np.nan, 0.3, 0.4, 0.5, 0.6, 0.7]},
        ("frame_times", "irregular"),
    ),
    "too few frame times": (
        {"frame_times": [0.0, 0.1, 0.2]},
        ("fluorescence", "(8, 3)", "(time, unit)", "3 frame_times"),
    ),
    "rates disagree": (
        {"frame_times": np.arange(8.0)},
        ("frame_rate_hz", "states 10.0", "give 1.0", "recording.time_unit_s"),
    ),
    "rate zero": ({"frame_rate_hz": 0.0}, ("frame_rate_hz", "positive")),
    "weights": ({"weights": np.ones((2, 2))}, ("weights", "(3, 3)", "found (2, 2)")),
}


@pytest.mark.parametrize(("change", "words"), BAD_SPIKES.values(), ids=BAD_SPIKES)
def test_bad_spikes(write: Any, change: dict[str, Any], words: tuple[str, ...]) -> None:
    assert_refused(write(**(SPIKES | change)), *words)


@pytest.mark.parametrize(("change", "words"), BAD_TRACES.values(), ids=BAD_TRACES)
def test_bad_traces(write: Any, change: dict[str, Any], words: tuple[str, ...]) -> None:
    assert_refused(write(**(TRACES | change)), *words)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"t_start": 5}, ("t_stop", "is empty", "recording.t_start")),
        ({"t_start": 5, "t_stop": 6}, ("spike_times", "all 3 spikes", "from 1 to 3 s")),
        ({"exclude_units": [5, 6]}, ("unit_ids", "names 6", "it has 5, 9", "exclude_units")),
        ({"exclude_units": [5, 9]}, ("unit_ids", "no unit is left", "exclude_units")),
        ({"signal": "fluorescence"}, ("signal", "spike_times", "recording.signal to spikes")),
        ({"names": {"spike_times": "x"}}, ("spike_times", "'x'", "spike_units", "names[")),
        ({"names": {"spikes": "x"}}, ("names", "renames spikes", "spike_times")),
    ],
)
def test_parameters_that_do_not_fit_the_spikes(
    write: Any, params: dict[str, Any], words: tuple[str, ...]
) -> None:
    assert_refused(write(**SPIKES), *words, **params)


def test_parameters_that_do_not_fit_the_traces(write: Any) -> None:
    uri = write(**TRACES)
    assert_refused(uri, "frame_times", "fewer than 2", "from 0 to 0.8 s", t_start=0.75)
    assert_refused(uri, "frame_rate_hz", "recording.frame_rate_hz is 30.0", frame_rate_hz=30)
    holed = write(**(TRACES | {"fluorescence": trace_with(slice(5, 8), 1, np.nan)}))
    assert_refused(holed, "fluorescence", "for 3 frames", "from frame 5", t_start=0.4)
    empty = write(**(TRACES | {"fluorescence": trace_with(slice(None), 1, np.nan)}))
    assert_refused(empty, "fluorescence", "for 8 frames", max_nan_gap_s=1e6)
    no_rate = write(fluorescence=TRACES["fluorescence"])
    assert_refused(no_rate, "frame_rate_hz", "neither", "Set recording.frame_rate_hz")


def test_missing_halves(write: Any) -> None:
    assert_refused(write(spike_times=[1.0]), "spike_units", "is missing", "recording.names")
    assert_refused(write(spike_units=[1]), "spike_times", "is missing", "recording.names")
    assert_refused(write(other=[1]), "signal", "it holds other", "recording.names")


def test_excluding_the_bad_unit_is_a_remedy(write: Any) -> None:
    spikes = write(spike_times=[1.0, np.nan, 2.0], spike_units=[5, 9, 5])
    assert read_recording(spikes, RecordingParams(exclude_units=(9,))).n_units == 1
    traces = write(**(TRACES | {"fluorescence": trace_with(slice(None), 1, 2.5)}))
    assert read_recording(traces, RecordingParams(exclude_units=(8,))).n_units == 2


def test_indices_in_messages_count_excluded_spikes_too(write: Any) -> None:
    uri = write(spike_times=[9.0, 1.0, 3.0, 2.0], spike_units=[7, 5, 5, 5])
    assert_refused(uri, "not ascending: at index 3", exclude_units=[7])


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.98])
def test_cut_files_are_to_be_copied_again(write: Any, tmp_path: Path, share: float) -> None:
    rng = np.random.default_rng(0)
    spikes = {"spike_times": np.sort(rng.random(5000)), "spike_units": rng.integers(0, 9, 5000)}
    for format_name in ("npz", "parquet"):
        whole = Path(write(format_name, **spikes))
        cut = tmp_path / whole.name
        cut.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
        assert_refused(str(cut), "file", "cut short", "Copy it again")


def test_flipped_bytes_are_noticed(write: Any) -> None:
    path = Path(write(**SPIKES))
    data = bytearray(path.read_bytes())
    data[150] ^= 255
    path.write_bytes(data)
    assert_refused(str(path), "file", "damaged", "Copy it again")


def test_cut_nwb_names_the_cause(shared_data: Path, tmp_path: Path) -> None:
    whole = (shared_data / "nwb-suite2p-fixtures/A8604-211122.nwb").read_bytes()
    cut = tmp_path / "cut.nwb"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RecordingError, match=r"truncated file.*Copy it again") as caught:
        read_recording(str(cut), RecordingParams())
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_with_absent_or_broken_chunks(tmp_path: Path, zarr_format: int) -> None:
    path = tmp_path / "a.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    group.create_array("spike_times", data=np.arange(1.0, 9.0), chunks=(2,))
    group.create_array("spike_units", data=np.ones(8, int))
    chunk = path / ("spike_times/1" if zarr_format == 2 else "spike_times/c/1")
    chunk.write_bytes(b"not a chunk")
    assert_refused(str(path), "file", "damaged", "Copy it again")
    chunk.unlink()
    assert_refused(str(path), "spike_times", "1 of 4 chunks are absent", "Copy the whole folder")


class Evil:
    """Unpickling this makes the folder ``pwned`` in the current one."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("pwned",)


def test_pickles_are_refused_and_never_loaded(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    evil = np.array([Evil()], object)
    np.savez("a.npz", spike_times=evil, spike_units=[0])
    Path("b.npz").write_bytes(pickle.dumps(Evil()))
    Path("s2p").mkdir()
    np.save("s2p/F.npy", evil)
    np.save("s2p/iscell.npy", evil)
    Path("raw").mkdir()
    Path("raw/F.npy").write_bytes(pickle.dumps(Evil()))
    assert "pickled" in assert_refused("raw")
    for name, word in (("a.npz", "pickled"), ("b.npz", "no npz archive"), ("s2p", "pickled")):
        assert word in assert_refused(name)
    assert not Path("pwned").exists()


@pytest.mark.parametrize("codecs", [["pickle"], ["vlen-utf8", "pickle"]])
def test_zarr_pickles_are_refused_and_never_loaded(
    tmp_path: Path, monkeypatch: Any, codecs: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    group = zarr.open_group("a.zarr", mode="w", zarr_format=2)
    group.create_array("spike_units", data=np.zeros(1, int))
    group.create_array("spike_times", data=np.ones(1), compressors=None)
    header = Path("a.zarr/spike_times/.zarray")
    change = {"dtype": "|O", "fill_value": None, "filters": [{"id": codec} for codec in codecs]}
    header.write_text(json.dumps(json.loads(header.read_text()) | change))
    Path("a.zarr/spike_times/0").write_bytes(pickle.dumps(Evil()))
    assert "pickled Python objects" in assert_refused("a.zarr", "Save plain arrays")
    assert not Path("pwned").exists()


def test_xarray_dimensions_and_packing_are_heeded(tmp_path: Path) -> None:
    traces = TRACES["fluorescence"]
    turned = xr.Dataset({"fluorescence": (("unit", "time"), traces)}, attrs={"frame_rate_hz": 9.0})
    turned.to_zarr(tmp_path / "t.zarr", consolidated=False)
    assert_refused(str(tmp_path / "t.zarr"), "fluorescence", "(time, unit)", "Transpose")
    packed = xr.Dataset({"fluorescence": (("time", "unit"), traces)}, attrs={"frame_rate_hz": 9.0})
    encoding = {"fluorescence": {"scale_factor": 0.1, "dtype": "int16", "_FillValue": -1}}
    packed.to_zarr(tmp_path / "p.zarr", consolidated=False, encoding=encoding)
    assert_refused(str(tmp_path / "p.zarr"), "fluorescence", "scale_factor", "plain numbers")


def test_parquet_with_unclear_columns_or_metadata(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"0": [1.0, 2.0], "cell b": [2.0, 1.0], "frame_times": [0, 1]}), path)
    assert_refused(str(path), "fluorescence", "'cell b'", "integer unit ids", "Rename")
    table = pa.table({key: np.asarray(values) for key, values in SPIKES.items()})
    pq.write_table(table.replace_schema_metadata({"t_start": "zero"}), path)
    assert_refused(str(path), "t_start", "not JSON")


def suite2p(folder: Path, **changes: Any) -> str:
    rng = np.random.default_rng(1)
    arrays = {
        "F": rng.normal(size=(4, 50)),
        "Fneu": rng.normal(size=(4, 50)),
        "iscell": np.array([[1, 0.9], [0, 0.1], [1, 0.8], [1, 0.7]]),
    } | changes
    folder.mkdir(exist_ok=True)
    for name, array in arrays.items():
        if array is not None:
            np.save(folder / f"{name}.npy", array)
    return str(folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"F": np.ones(4)}, ("F.npy", "(4,)", "(n_rois, n_frames)")),
        ({"Fneu": np.ones((4, 49))}, ("Fneu.npy", "(4, 49)", "one run")),
        ({"Fneu": None}, ("Fneu.npy", "there is no Fneu.npy", "neuropil_coefficient to 0")),
        ({"iscell": None}, ("iscell.npy", "there is no iscell.npy", "Copy")),
        ({"iscell": np.ones((3, 2))}, ("iscell.npy", "(3, 2)", "expected (4, 2)")),
        ({"iscell": np.zeros((4, 2))}, ("iscell.npy", "none of the 4 ROIs", "Accept cells")),
        ({"F": np.ones((4, 50))}, ("F.npy", "units 0, 2, 3 are constant", "exclude_units")),
        ({"second_F": np.ones(1)}, ("F.npy", "F.npy, second_F.npy", "folder of one plane")),
    ],
)
def test_bad_suite2p_folders(tmp_path: Path, changes: Any, words: tuple[str, ...]) -> None:
    assert_refused(suite2p(tmp_path / "plane0", **changes), *words, frame_rate_hz=30)


def test_cut_suite2p_file(tmp_path: Path) -> None:
    folder = suite2p(tmp_path / "plane0")
    path = Path(folder, "Fneu.npy")
    path.write_bytes(path.read_bytes()[:-100])
    assert_refused(folder, "Fneu.npy", "cut short", "Copy it again", frame_rate_hz=30)


def write_nwb(path: Path, trains: dict[int, list[float]]) -> str:
    import pynwb

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = pynwb.NWBFile("test", "test", datetime(2024, 1, 1, tzinfo=UTC))
        for unit, train in trains.items():
            file.add_unit(id=unit, spike_times=train)
        with pynwb.NWBHDF5IO(str(path), "w") as io:
            io.write(file)
    return str(path)


@pytest.mark.parametrize(
    ("trains", "words"),
    [
        ({}, ("signal", "no spikes or fluorescence")),
        ({3: []}, ("spike_times", "no spikes")),
        ({3: [1.0, 2.0], 7: [0.5, 0.2]}, ("spike_times", "index 3", "on_unsorted")),
        ({3: [1.0, 1.0], 7: [0.5]}, ("spike_times", "unit 3 spikes 2 times", "on_duplicate")),
        ({3: [1.0], 7: [0.5, np.nan]}, ("spike_times", "index 2, unit 7", "exclude_units")),
    ],
)
def test_bad_nwb(tmp_path: Path, trains: Any, words: tuple[str, ...]) -> None:
    assert_refused(write_nwb(tmp_path / "a.nwb", trains), *words)


def test_nwb_has_no_names_to_change_but_fluorescence(tmp_path: Path) -> None:
    uri = write_nwb(tmp_path / "a.nwb", {3: [1.0]})
    assert_refused(uri, "names", "spike_times", "fluorescence", names={"spike_times": "x"})


@pytest.mark.parametrize("format_name", ["nwb", "suite2p", "npz", "parquet", "zarr"])
def test_a_folder_or_text_of_no_format(tmp_path: Path, format_name: str) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no recording")
    for path in (text, tmp_path):
        assert_refused(str(path), "format", "recording.format")
        assert_refused(str(path), format=format_name)


def test_a_url_that_cannot_be_read_says_what_to_do() -> None:
    assert_refused("nosuch://bucket/a.npz", "cannot be read here", "copy the recording")
