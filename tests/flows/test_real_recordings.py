"""The flow on real recordings, and on published simulations, as they come."""

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from sklearn.metrics import roc_auc_score

from connflow.errors import ConnflowError
from connflow.recording import RecordingParams
from connflow.recording.readers import read_recording
from flows.connectivity import ConnectivityFlowParams, infer_connectivity

pytestmark = pytest.mark.usefixtures("prefect_server")

KERNEL = {"connectivity": {"method": "kernel_regression"}}


def run(place, store, **params):
    params = {"expectation": {"when": "never"}} | params
    return infer_connectivity(str(place), ConnectivityFlowParams.parse(params), store=store)


def test_known_wiring_is_found_and_oriented(store, known_wiring):
    result = run(known_wiring, store)
    scores = result.open("evaluation").set_index("score")["value"]
    assert scores["auroc"] >= 0.98
    z = np.abs(result.open("connectivity")["z"].to_numpy())
    truth = result.open("recording")["weights"].to_numpy() != 0
    off = ~np.eye(20, dtype=bool)
    assert roc_auc_score(truth[off], z.T[off]) == pytest.approx(0.5, abs=0.12)


def test_hippocampus_starts_at_4397_seconds(store, shared_data):
    names = {"spike_times": "spike_time", "spike_units": "spike_unit"}
    result = run(
        shared_data / "hippocampus-linear-track" / "linear_track.npz",
        store,
        recording={"names": names},
    )
    spikes = result.open("recording")
    assert spikes.sizes == {"unit": 31, "spike": 28_829}
    assert spikes.attrs["t_start"] == pytest.approx(4397.0, abs=0.01)
    assert result.open("connectivity").sizes == {"source": 31, "target": 31}


def test_twenty_cells_are_clipped_to_the_interval_asked_for(store, shared_data):
    names = {"spike_times": "spike_time_ms", "spike_units": "spike_unit"}
    file = shared_data / "spiketrains-20cells" / "glmcc_20cells.npz"
    reading = {"names": names, "time_unit_s": 0.001}
    with pytest.raises(ConnflowError, match="t_start"):
        run(file, store, recording=reading)
    result = run(file, store, recording=reading | {"t_start": 0.0, "t_stop": 5400.0})
    assert result.open("recording").attrs["notes"]["clipped_spikes"] == 207_550
    assert result.open("recording").sizes["spike"] == 445_945 - 207_550
    assert Path(result.report).stat().st_size > 100_000


def test_nwb_with_empty_metadata(store, shared_data):
    result = run(shared_data / "nwb-suite2p-fixtures" / "A8604-211122.nwb", store)
    assert result.open("recording").sizes["spike"] == 21_354
    assert result.open("connectivity").sizes["source"] == 3


def test_suite2p_fluorescence(store, shared_data):
    folder = shared_data / "nwb-suite2p-fixtures"
    reading = {"format": "suite2p", "frame_rate_hz": 30.0}
    result = run(folder, store, recording=reading, deconvolution={"method": "savgol"}, **KERNEL)
    assert result.open("deconvolution").sizes == {"time": 2000, "unit": 20}
    assert np.isfinite(result.open("connectivity")["z"]).all()


def test_real_dff_with_missing_frames(store, imaged_cell, tmp_path):
    """One cell has no connectivity; its activity must beat the rectified derivative's .567."""
    file, spikes = imaged_cell
    with np.load(file) as arrays:
        traces, times = arrays["fluorescence"].copy(), arrays["frame_times"]
    traces[100:103] = np.nan
    holed = tmp_path / "holed.npz"
    np.savez(holed, fluorescence=traces, frame_times=times)
    with pytest.raises(ConnflowError, match="at least two units"):
        run(holed, store, deconvolution={"method": "oasis"}, **KERNEL)
    from connflow.store import Store

    kept = Store(store)
    (recording,), (ref,) = kept.list_refs("recording"), kept.list_refs("deconvolution")
    assert kept.open(recording).attrs["notes"]["interpolated_frames"] == 3
    activity = kept.open(ref)
    rate_hz = activity.attrs["frame_rate_hz"]
    true = np.histogram(spikes, np.append(activity["time"], activity["time"][-1] + 1 / rate_hz))[0]
    smooth = [
        gaussian_filter1d(x.astype(float), 0.2 * rate_hz)
        for x in (true, activity["activity"].to_numpy()[:, 0])
    ]
    assert np.corrcoef(smooth)[0, 1] > 0.567


def test_long_gap_in_dff_is_refused(store, imaged_cell, tmp_path):
    with np.load(imaged_cell[0]) as arrays:
        traces, times = arrays["fluorescence"].copy(), arrays["frame_times"]
    traces[100:400] = np.nan
    holed = tmp_path / "holed.npz"
    np.savez(holed, fluorescence=traces, frame_times=times)
    with pytest.raises(ConnflowError, match=r"holed\.npz.*fluorescence"):
        read_recording(str(holed), RecordingParams())
