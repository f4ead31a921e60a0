"""What the readers promise: every format tells the same, and nothing is changed unsaid."""

import shutil
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connflow.errors import RecordingError, RecordingNotFoundError
from connflow.recording.model import FluorescenceRecording, SpikeRecording
from connflow.recording.params import RecordingParams
from connflow.recording.readers import content_digest, read_recording

FORMATS = ("npz", "parquet", "zarr-2", "zarr-3", "xarray")
LIGHT = settings(deadline=None, max_examples=8)


def read_spikes(uri: str, **params: Any) -> SpikeRecording:
    recording = read_recording(uri, RecordingParams(**params))
    assert isinstance(recording, SpikeRecording)
    return recording


def read_fluorescence(uri: str, **params: Any) -> FluorescenceRecording:
    recording = read_recording(uri, RecordingParams(**params))
    assert isinstance(recording, FluorescenceRecording)
    return recording


@st.composite
def spike_arrays(draw: st.DrawFn) -> dict[str, Any]:
    """A valid recording: unit ids in any order, some silent, no spike twice."""
    unit_ids = draw(st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=5, unique=True))
    spike = st.tuples(st.floats(0, 1e4), st.sampled_from(unit_ids))
    spikes = sorted(draw(st.lists(spike, min_size=1, max_size=30, unique=True)))
    weights = np.arange(len(unit_ids) ** 2).reshape(len(unit_ids), -1) - 3.0
    return {
        "spike_times": np.array([time for time, _ in spikes]),
        "spike_units": np.array([unit for _, unit in spikes]),
        "unit_ids": np.array(unit_ids),
        "t_start": 0.0,
        "t_stop": 2e4,
        "weights": weights,
    }


@st.composite
def fluorescence_arrays(draw: st.DrawFn) -> dict[str, Any]:
    unit_ids = draw(st.lists(st.integers(0, 2**40), min_size=1, max_size=5, unique=True))
    n_frames = draw(st.integers(2, 30))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    traces = rng.normal(size=(n_frames, len(unit_ids))).astype(np.float32)
    start = draw(st.floats(-100, 100))
    frame_times = start + np.arange(n_frames) / 30.0
    return {"fluorescence": traces, "frame_times": frame_times, "unit_ids": np.array(unit_ids)}


@LIGHT
@given(arrays=spike_arrays())
def test_every_format_returns_the_spikes_that_were_written(write: Any, arrays: Any) -> None:
    for format_name in FORMATS:
        recording = read_spikes(write(format_name, **arrays))
        np.testing.assert_array_equal(recording.spike_times, arrays["spike_times"])
        ids = recording.unit_ids[recording.spike_units]
        np.testing.assert_array_equal(ids, arrays["spike_units"])
        np.testing.assert_array_equal(recording.unit_ids, arrays["unit_ids"])
        np.testing.assert_array_equal(recording.weights, arrays["weights"])
        assert (recording.t_start, recording.t_stop) == (0.0, 2e4)
        assert recording.spike_times.dtype == np.float64
        assert recording.spike_units.dtype == np.int32
        assert recording.notes == {}


@LIGHT
@given(arrays=fluorescence_arrays())
def test_every_format_returns_the_traces_that_were_written(write: Any, arrays: Any) -> None:
    for format_name in FORMATS:
        recording = read_fluorescence(write(format_name, **arrays))
        np.testing.assert_array_equal(recording.fluorescence, arrays["fluorescence"])
        np.testing.assert_array_equal(recording.unit_ids, arrays["unit_ids"])
        assert recording.frame_rate_hz == pytest.approx(30)
        assert recording.t_start == arrays["frame_times"][0]


def test_weights_keep_their_direction_in_every_format(write: Any, array_format: str) -> None:
    weights = np.array([[np.nan, 2.0], [0.0, np.nan]])  # 5 drives 9
    uri = write(
        array_format,
        spike_times=np.array([1.0, 2.0]),
        spike_units=np.array([5, 9]),
        unit_ids=np.array([5, 9]),
        weights=weights,
    )
    np.testing.assert_array_equal(read_spikes(uri).weights, [[0, 2], [0, 0]])


def test_default_interval_runs_from_the_whole_second_to_just_after_the_last_spike(
    write: Any,
) -> None:
    recording = read_spikes(write(spike_times=[4397.6, 4399.0], spike_units=[0, 0]))
    assert recording.t_start == 4397.0
    assert recording.t_stop == np.nextafter(4399.0, np.inf)


def test_declared_intervals_are_observed_to_their_end(write: Any) -> None:
    times, intervals = [3.5, 12.0], [[3.0, 9.0], [11.0, 20.0]]
    recording = read_spikes(write(spike_times=times, spike_units=[0, 0], intervals=intervals))
    assert (recording.t_start, recording.t_stop) == (3.0, 20.0)
    np.testing.assert_array_equal(recording.intervals, intervals)


def test_parameters_clip_to_the_half_open_interval_and_count(write: Any, caplog: Any) -> None:
    uri = write(spike_times=[0.5, 1.0, 2.0, 3.0], spike_units=[0, 1, 0, 1], t_start=0.0, t_stop=9.0)
    recording = read_spikes(uri, t_start=1, t_stop=3)
    np.testing.assert_array_equal(recording.spike_times, [1.0, 2.0])
    assert recording.notes == {"clipped_spikes": 2}
    assert recording.n_units == 2
    assert "left out 2 spikes" in caplog.text


def test_time_unit_scales_the_file_but_not_the_parameters(write: Any) -> None:
    uri = write(spike_times=[500, 1500], spike_units=[3, 3], t_start=0, t_stop=4000)
    recording = read_spikes(uri, time_unit_s=0.001, t_stop=2.0)
    np.testing.assert_allclose(recording.spike_times, [0.5, 1.5])
    assert (recording.t_start, recording.t_stop) == (0.0, 2.0)
    frames = write(fluorescence=np.eye(3), frame_times=[100, 200, 300])
    assert read_fluorescence(frames, time_unit_s=0.001).frame_rate_hz == pytest.approx(10)


def test_silent_units_stay_and_excluded_units_go_with_their_weights(write: Any) -> None:
    arrays = {"spike_times": [1.0, 2.0], "spike_units": [7, 3], "unit_ids": [7, 12, 3]}
    uri = write(**arrays, weights=np.arange(9).reshape(3, 3))
    assert read_spikes(uri).unit_ids.tolist() == [7, 12, 3]
    recording = read_spikes(uri, exclude_units=[7])
    assert recording.unit_ids.tolist() == [12, 3]
    assert recording.spike_units.tolist() == [1]
    np.testing.assert_array_equal(recording.weights, [[4, 5], [7, 8]])


def test_weights_without_unit_ids_number_the_units_from_zero(write: Any) -> None:
    uri = write(spike_times=[1.0, 2.0], spike_units=[0, 2], weights=np.zeros((4, 4)))
    assert read_spikes(uri).unit_ids.tolist() == [0, 1, 2, 3]


def test_sort_and_drop_repair_and_count(write: Any) -> None:
    uri = write(spike_times=[3.0, 1.0, 1.0, 1.0], spike_units=[0.0, 1.0, 1.0, 0.0])
    recording = read_spikes(uri, on_unsorted="sort", on_duplicate="drop")
    np.testing.assert_array_equal(recording.spike_times, [1.0, 1.0, 3.0])
    np.testing.assert_array_equal(recording.spike_units, [1, 0, 0])
    assert recording.notes == {"unsorted_spikes": 1, "dropped_duplicates": 1}


def test_short_gaps_are_interpolated_in_time_and_counted(write: Any, caplog: Any) -> None:
    ramp = np.arange(20.0)[:, np.newaxis] + [0.0, 100.0]
    holed = ramp.copy()
    holed[[0, 5, 6, 19], 1] = np.nan
    uri = write(fluorescence=holed, frame_rate_hz=10.0)
    recording = read_fluorescence(uri)
    ramp[[0, 19], 1] = ramp[[1, 18], 1]  # at the edges the nearest value
    np.testing.assert_allclose(recording.fluorescence, ramp)
    assert recording.notes == {"interpolated_frames": 4}
    assert "interpolated 4" in caplog.text


@pytest.mark.parametrize("rate", [3.0, 29.97, 30.0])
def test_frames_on_the_edge_belong_to_the_interval_they_start(write: Any, rate: float) -> None:
    uri = write(fluorescence=np.arange(50.0)[:, np.newaxis], frame_rate_hz=rate, t_start=7.0)
    recording = read_fluorescence(uri, t_start=7 + 6 / rate, t_stop=7 + 12 / rate)
    np.testing.assert_array_equal(recording.fluorescence[:, 0], np.arange(6, 12))
    assert recording.t_start == pytest.approx(7 + 6 / rate)
    assert recording.notes == {"clipped_frames": 44}


def test_signal_chooses_where_both_are_there(write: Any) -> None:
    uri = write(spike_times=[1.0], spike_units=[0], fluorescence=np.eye(4), frame_rate_hz=1.0)
    assert read_spikes(uri).n_units == 1
    assert read_fluorescence(uri, signal="fluorescence").n_units == 4


def test_zarr_names_may_be_paths_inside_the_group(write: Any, tmp_path: Path) -> None:
    outer = tmp_path / "outer.zarr"
    inner = write("zarr-3", times=[1.0, 2.0], spike_units=[0, 1])
    shutil.copytree(inner, outer / "session")
    shutil.copy(Path(inner, "zarr.json"), outer)
    names = {"spike_times": "session/times", "spike_units": "session/spike_units"}
    assert read_spikes(str(outer), names=names).n_units == 2


@pytest.fixture(scope="module")
def nwb_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Units 7, 3, 12 (silent), and two ROI series: raw by timestamps, dF/F by rate."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _write_nwb(tmp_path_factory.mktemp("nwb") / "session.nwb")


def _write_nwb(path: Path) -> str:
    import pynwb
    from pynwb.ophys import DfOverF, Fluorescence, ImageSegmentation, RoiResponseSeries

    file = pynwb.NWBFile("test", "test", datetime(2024, 1, 1, tzinfo=UTC))
    file.add_unit_column("quality", "by hand")
    file.add_unit(id=7, spike_times=[0.5, 2.0], quality="good", obs_intervals=[[0.0, 5.0]])
    file.add_unit(id=3, spike_times=[0.25, 2.0], quality="fair", obs_intervals=[[0.0, 5.0]])
    file.add_unit(id=12, spike_times=[], quality="none", obs_intervals=[[0.0, 5.0]])
    device = file.create_device("microscope")
    channel = pynwb.ophys.OpticalChannel("green", "GCaMP", 510.0)
    plane = file.create_imaging_plane("plane", channel, "V1", device, 920.0, "GCaMP6f", "V1")
    segments = ImageSegmentation(name="ImageSegmentation")
    table = segments.create_plane_segmentation("rois", plane, "rois")
    for roi_id in (40, 10, 20):
        table.add_roi(id=roi_id, pixel_mask=[(0, 0, 1.0)])
    rois = table.create_roi_table_region("two of them", region=[2, 0])
    traces = np.arange(12, dtype=np.float32).reshape(6, 2)
    raw = RoiResponseSeries("raw", traces, "a.u.", rois, timestamps=2 + np.arange(6) / 10)
    region = table.create_roi_table_region("again", region=[2, 0])
    dff = RoiResponseSeries(
        "dff", traces, "dF/F", region, rate=20.0, starting_time=1.5, conversion=0.5, offset=1.0
    )
    module = file.create_processing_module("ophys", "calcium")
    module.add(segments)
    module.add(Fluorescence(raw))
    module.add(DfOverF(dff))
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(file)
    return str(path)


def test_nwb_units_keep_ids_columns_and_silence(nwb_file: str) -> None:
    recording = read_spikes(nwb_file)
    assert recording.unit_ids.tolist() == [7, 3, 12]
    np.testing.assert_array_equal(recording.spike_times, [0.25, 0.5, 2.0, 2.0])
    np.testing.assert_array_equal(recording.spike_units, [1, 0, 0, 1])
    assert recording.units["quality"].tolist() == ["good", "fair", "none"]
    assert list(recording.units.columns) == ["quality"]
    assert read_spikes(nwb_file, exclude_units=[7]).units["quality"].tolist() == ["fair", "none"]


def test_nwb_prefers_dff_and_applies_its_conversion(nwb_file: str) -> None:
    recording = read_fluorescence(nwb_file, signal="fluorescence")
    expected = np.arange(12).reshape(6, 2) * 0.5 + 1.0
    np.testing.assert_array_equal(recording.fluorescence, expected)
    assert recording.unit_ids.tolist() == [20, 40]
    assert (recording.frame_rate_hz, recording.t_start) == (20.0, 1.5)


def test_nwb_series_can_be_chosen_by_name_and_read_by_timestamps(nwb_file: str) -> None:
    for name in ("raw", "ophys/Fluorescence/raw"):
        names = {"fluorescence": name}
        recording = read_fluorescence(nwb_file, signal="fluorescence", names=names)
        assert recording.frame_rate_hz == pytest.approx(10)
        assert recording.t_start == 2.0


def test_real_nwb_with_empty_metadata(shared_data: Path) -> None:
    recording = read_spikes(str(shared_data / "nwb-suite2p-fixtures/A8604-211122.nwb"))
    assert recording.unit_ids.tolist() == [6, 191, 206]
    assert np.bincount(recording.spike_units).tolist() == [11020, 4690, 5644]
    assert "location" in recording.units.columns
    assert (np.diff(recording.spike_times) >= 0).all()


def test_real_suite2p_folder_with_a_prefix(shared_data: Path) -> None:
    folder = shared_data / "nwb-suite2p-fixtures"
    recording = read_fluorescence(folder.as_uri(), frame_rate_hz=30)
    raw = np.load(folder / "suite2p_F.npy")
    neuropil = np.load(folder / "suite2p_Fneu.npy")
    is_cell = np.load(folder / "suite2p_iscell.npy")[:, 0] > 0
    np.testing.assert_array_equal(recording.unit_ids, np.flatnonzero(is_cell))
    np.testing.assert_allclose(
        recording.fluorescence, (raw - 0.7 * neuropil)[is_cell].T, rtol=1e-4, atol=1e-2
    )
    uncorrected = read_fluorescence(str(folder), frame_rate_hz=30, neuropil_coefficient=0)
    np.testing.assert_array_equal(uncorrected.fluorescence, raw[is_cell].T)


def test_real_suite2p_without_frame_rate_says_why(shared_data: Path) -> None:
    with pytest.raises(RecordingError, match=r"ops\.npy.*recording\.frame_rate_hz"):
        read_fluorescence(str(shared_data / "nwb-suite2p-fixtures"))


def test_real_hippocampus_does_not_begin_with_4397_s_of_silence(shared_data: Path) -> None:
    names = {"spike_times": "spike_time", "spike_units": "spike_unit"}
    path = shared_data / "hippocampus-linear-track/linear_track.npz"
    recording = read_spikes(str(path), names=names)
    assert (len(recording.spike_times), recording.n_units) == (28829, 31)
    assert recording.t_start == 4397.0


def test_real_20_cells_are_clipped_and_counted(shared_data: Path) -> None:
    uri = str(shared_data / "spiketrains-20cells/glmcc_20cells.npz")
    params = {
        "names": {"spike_times": "spike_time_ms", "spike_units": "spike_unit"},
        "time_unit_s": 0.001,
    }
    with pytest.raises(RecordingError, match=r"spike_times: 4367 spikes .* recording\.t_start"):
        read_spikes(uri, **params)
    recording = read_spikes(uri, t_start=0, t_stop=5400, **params)
    assert recording.notes["clipped_spikes"] == 445945 - len(recording.spike_times) > 0
    assert recording.duration_s == 5400
    assert recording.spike_times[-1] < 5400


def test_real_ground_truth_network(shared_data: Path) -> None:
    uri = str(shared_data / "connectivity-ground-truth/sim_20of2000_long.npz")
    names = {"spike_times": "times", "spike_units": "ids", "unit_ids": "nodes"}
    recording = read_spikes(uri, names=names)
    assert (len(recording.spike_times), recording.n_units) == (93699, 20)
    rates_hz = np.bincount(recording.spike_units) / recording.duration_s
    assert rates_hz.min() == pytest.approx(1.06, abs=0.01)


def test_other_urls_are_copied_and_read(write: Any) -> None:
    path = write(spike_times=[1.0, 2.0], spike_units=[0, 1])
    fsspec.filesystem("memory").put(path, "/folder/recording.npz")
    uri = "memory://folder/recording.npz"
    assert read_spikes(uri).n_units == 2
    assert content_digest(uri) == content_digest(path)


@pytest.mark.parametrize("uri", ["/no/such/file.npz", "file:///no/such.npz", "memory://no/a.npz"])
def test_an_absent_recording_is_not_found(uri: str) -> None:
    for read in (content_digest, read_spikes):
        with pytest.raises(RecordingNotFoundError, match="Check the"):
            read(uri)


def test_digest_covers_names_and_bytes_of_a_folder(tmp_path: Path) -> None:
    def digest(name: str, **files: str) -> str:
        (tmp_path / name / "sub").mkdir(parents=True)
        for file, text in files.items():
            (tmp_path / name / "sub" / file).write_text(text)
        return content_digest(str(tmp_path / name))

    original = digest("original", a="12", b="3")
    assert original == digest("copy", b="3", a="12")
    changed = [digest("bytes", a="12", b="4"), digest("moved", a="1", b="23")]
    changed += [
        digest("renamed", a="12", c="3"),
        digest("fewer", a="12"),
        digest("joined", a="12sub/b3"),
    ]
    assert len({original, *changed}) == 6
