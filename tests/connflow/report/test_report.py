"""The report: self-contained, deterministic, escaped, and honest about what it lacks."""

import base64
import io
import re
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image

from connflow.errors import InvalidInputError
from connflow.recording.model import FluorescenceRecording, SpikeRecording, unit_table
from connflow.report import Report, ReportContent, ReportParams, render_report
from connflow.report.content import read_wiring, unit_kinds

HOSTILE = "<script>alert('1')</script>\"><img src=x onerror=alert(2)>&"
DURATION_S = 120.0
SPIKE_FIGURES = {"raster", "rates"}
WIRING_FIGURES = {"weights", "z", "z_distribution"}
TRUTH_FIGURES = {"truth", "weight_scatter", "roc", "precision_recall"}
PARAMS = ReportParams(title="A small network")


def _make_truth(n_units: int, generator: np.random.Generator) -> np.ndarray:
    is_inhibitory = np.arange(n_units) >= round(0.8 * n_units)
    sizes = generator.gamma(4.0, 0.25, (n_units, n_units)) * np.where(is_inhibitory, -4, 1)[:, None]
    truth = np.where(generator.random((n_units, n_units)) < 0.12, sizes, 0.0)
    np.fill_diagonal(truth, 0.0)
    return truth


def _make_spikes(n_units: int, generator: np.random.Generator) -> SpikeRecording:
    rates = generator.lognormal(1.6, 0.6, n_units)
    units = np.repeat(np.arange(n_units, dtype=np.int32), generator.poisson(rates * DURATION_S))
    times = generator.uniform(0, DURATION_S, len(units))
    order = np.argsort(times)
    notes: dict[str, int | float | str] = {"clipped_spikes": 12, "simulator": "LIF, dt 0.1 ms"}
    table = unit_table(np.arange(100, 100 + n_units))
    return SpikeRecording(times[order], units[order], table, 0.0, DURATION_S, notes=notes)


def _make_calcium(
    recording: SpikeRecording, generator: np.random.Generator
) -> tuple[xr.DataArray, xr.DataArray]:
    edges = np.arange(0, 12.0, 0.02)
    counts = np.stack(
        [
            np.histogram(recording.spike_times[recording.spike_units == unit], edges)[0]
            for unit in range(recording.n_units)
        ],
        axis=1,
    ).astype(float)
    calcium = np.zeros_like(counts)
    for frame in range(1, len(counts)):
        calcium[frame] = 0.97 * calcium[frame - 1] + counts[frame]
    coords = {"time": edges[:-1], "unit": recording.unit_ids}
    noisy = calcium + generator.normal(0, 0.15, counts.shape)
    blurred = np.clip(counts + generator.normal(0, 0.06, counts.shape), 0, None)
    return (
        xr.DataArray(noisy, coords, ("time", "unit"), attrs={"units": "dF/F"}),
        xr.DataArray(blurred, coords, ("time", "unit"), attrs={"units": "spikes"}),
    )


def _make_curves(truth: np.ndarray, z: np.ndarray) -> pd.DataFrame:
    is_pair = ~np.eye(len(truth), dtype=bool)
    is_hit = (truth != 0)[is_pair][np.argsort(-np.abs(z[is_pair]), kind="stable")]
    n_found, n_asked = np.cumsum(is_hit), np.arange(1, len(is_hit) + 1)
    recall, density = n_found / max(is_hit.sum(), 1), is_hit.sum() / max(len(is_hit), 1)
    false_rate = (n_asked - n_found) / max((~is_hit).sum(), 1)
    roc = pd.DataFrame({"curve": "roc", "x": false_rate, "y": recall, "chance": false_rate})
    precision = pd.DataFrame(
        {"curve": "precision_recall", "x": recall, "y": n_found / n_asked, "chance": density}
    )
    return pd.concat([roc, precision], ignore_index=True)


def _make_scores() -> pd.DataFrame:
    rows = [
        ("auroc", 0.9312, 0.5, "Chance that a synapse ranks above a pair without one."),
        ("average_precision", 0.812, 0.12, "Mean precision over all recalls."),
        ("precision_at_k", 0.774, 0.12, "Right answers among the K surest, K the true number."),
        ("auroc_undirected", 0.941, 0.5, "The same, with the direction left out of account."),
        ("weight_correlation", 0.71, 0.0, "Pearson r of inferred and true weight, all pairs."),
        ("sign_accuracy", 0.998, 0.79, "True synapses whose sign is right."),
        ("in_degree_correlation", -0.04, 0.0, "Correlation of the number of inputs."),
        ("false_discovery_proportion", 0.048, np.nan, "Wrong among the found, nominal 5 %."),
    ]
    return pd.DataFrame(rows, columns=["score", "value", "chance", "meaning"])


def _make_steps(n_units: int) -> list[dict[str, Any]]:
    params: dict[str, dict[str, Any]] = {
        "recording": {"network": "balanced", "n_units": n_units, "duration_s": 120.0, "seed": 1},
        "calcium": {"tau_s": 0.66, "frame_rate_hz": 50.0, "noise": {"kind": "white", "sd": 0.15}},
        "deconvolution": {"method": "oasis", "tau_s": None, "threshold": 0.3},
        "connectivity": {"method": "lagged_regression", "lags": [1, 2], "penalty": 1e-6},
        "evaluation": {},
    }
    keys = [f"{index:x}" * 64 for index in range(10, 15)]
    return [
        {
            "step": step,
            "version": 1,
            "key": key,
            "params": params[step],
            "inputs": {}
            if index == 0
            else {"data": f"{list(params)[index - 1]}/{keys[index - 1]}"},
            "wall_time_s": 0.4 * 3**index,
            "bytes": 1_250_000 * (index + 1),
            "created": "2026-01-12T09:30:00Z",
            "host": "node07",
            "packages": {"python": "3.11.7", "numpy": "2.4.6", "xarray": "2026.9.0"},
            "git": {"commit": "3fc38f9" * 5, "dirty": index == 3},
            "arrays": {"weight": {"shape": [n_units, n_units], "dtype": "float32"}},
        }
        for index, (step, key) in enumerate(zip(params, keys, strict=True))
    ]


def make_content(n_units: int = 60, seed: int = 0) -> ReportContent:
    """Build everything a run on a simulated network with simulated calcium would hand in."""
    generator = np.random.default_rng(seed)
    truth = _make_truth(n_units, generator)
    z = 4 * truth + generator.normal(0, 1.05, truth.shape)
    weight = 0.02 * truth + generator.normal(0, 0.006, truth.shape)
    recording = _make_spikes(n_units, generator)
    fluorescence, activity = _make_calcium(recording, generator)
    ids = recording.unit_ids
    coords = {"source": ids, "target": ids}
    dims = ("source", "target")
    attrs = {"method": "lagged regression", "lags": np.array([1, 2]), "bin_size_s": 0.02}
    matrices = {"weight": (dims, weight), "z": (dims, z)}
    return ReportContent(
        recording,
        fluorescence,
        activity,
        xr.Dataset(matrices, coords, attrs),
        xr.DataArray(truth, coords, dims),
        _make_scores(),
        _make_curves(truth, z),
        _make_steps(n_units),
    )


def _as_fluorescence(content: ReportContent) -> ReportContent:
    assert content.fluorescence is not None
    assert content.recording is not None
    values = content.fluorescence.to_numpy().astype(np.float32)
    recording = FluorescenceRecording(values, 50.0, content.recording.units, t_start=3.0)
    return replace(content, recording=recording, fluorescence=None, activity=None)


def _without_truth(content: ReportContent) -> ReportContent:
    return replace(content, truth=None, scores=None, curves=None)


class _Links(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        named = ("src", "href", "srcset", "data", "action", "poster")
        self.links += [value or "" for name, value in attrs if name in named]


@pytest.fixture(scope="module")
def content() -> ReportContent:
    return make_content()


@pytest.fixture(scope="module")
def bare(content: ReportContent) -> ReportContent:
    silent = replace(content, recording=None, fluorescence=None, activity=None)
    return replace(_without_truth(silent), steps=[])


@pytest.fixture(scope="module")
def report(content: ReportContent) -> Report:
    return render_report(content, PARAMS)


def test_page_loads_nothing_from_outside(report: Report) -> None:
    parsed = _Links(report.html)
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in parsed.links)
    assert not {"script", "link", "iframe", "object", "embed"} & set(parsed.tags)
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\(", report.html)


def test_every_figure_is_embedded_once_with_alt_text_and_caption(report: Report) -> None:
    assert set(report.figures) == SPIKE_FIGURES | {"traces"} | WIRING_FIGURES | TRUTH_FIGURES
    for png in report.figures.values():
        assert report.html.count(base64.b64encode(png).decode()) == 1
    assert len(re.findall(r'<img alt="[^"]{20,}"', report.html)) == len(report.figures)
    assert len(re.findall(r"<figcaption>[^<]{40,}<", report.html)) == len(report.figures)


def test_same_content_gives_same_bytes(content: ReportContent, report: Report) -> None:
    again = render_report(make_content(), PARAMS)
    assert again == report
    assert not any(b"tEXt" in png or b"tIME" in png for png in report.figures.values())


def test_worker_threads_give_the_same_bytes(content: ReportContent, report: Report) -> None:
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda _: render_report(content, PARAMS), range(2)))
    assert reports == [report, report]


def test_headlines_and_scores_stand_beside_chance(report: Report) -> None:
    for text in ("lagged regression", "2 min<", "0.931", "chance 0.500", "0.774", "0.048"):
        assert text in report.html
    assert "clipped_spikes" in report.html
    assert "noise.sd" in report.html
    assert "with uncommitted changes" in report.html


def test_opening_lines_are_python_and_name_each_artifact(report: Report) -> None:
    code = re.search(r"<pre><code>(.*?)</code></pre>", report.html, re.DOTALL)
    assert code is not None
    lines = code[1].replace("&#34;", '"')
    compile(lines, "opening", "exec")
    assert f'connectivity = xr.open_zarr(store + "/connectivity/{"d" * 64}/data.zarr")' in lines


def test_opening_lines_follow_the_files_of_a_manifest(bare: ReportContent) -> None:
    files = {"table.parquet": {"bytes": 4000}, "curves.parquet": {"bytes": 1000}}
    step = {"step": "evaluation", "key": "f" * 64, "files": files, "arrays": {}}
    html = render_report(replace(bare, steps=[step]), PARAMS).html
    assert "evaluation = pd.read_parquet" in html
    assert "evaluation_curves = pd.read_parquet" in html
    assert "5 kB" in html


def test_content_is_escaped(content: ReportContent, bare: ReportContent) -> None:
    steps = [
        {
            "step": HOSTILE,
            "key": HOSTILE,
            "params": {HOSTILE: HOSTILE},
            "inputs": {HOSTILE: HOSTILE},
            "host": HOSTILE,
            "packages": {HOSTILE: HOSTILE},
            "git": {"commit": HOSTILE},
            "arrays": {HOSTILE: {"shape": [1], "dtype": HOSTILE}},
        }
    ]
    assert content.scores is not None
    hostile = replace(
        bare,
        steps=steps,
        scores=content.scores.assign(score=HOSTILE, meaning=HOSTILE),
        connectivity=content.connectivity.assign_attrs({"method": HOSTILE}),
    )
    html = render_report(hostile, ReportParams(title=HOSTILE)).html
    assert "<script" not in html
    assert "<img src=x" not in html
    assert html.count("&lt;script&gt;") > 12
    assert not {"script"} & set(_Links(html).tags)


def test_without_truth_the_score_parts_are_left_out_and_it_says_so(content: ReportContent) -> None:
    report = render_report(_without_truth(content), PARAMS)
    assert not TRUTH_FIGURES & set(report.figures)
    assert "is not known" in report.html
    assert "AUROC" not in report.html
    assert "True weight" not in report.html


def test_fluorescence_recording_has_traces_but_no_raster(content: ReportContent) -> None:
    report = render_report(_without_truth(_as_fluorescence(content)), PARAMS)
    assert set(report.figures) == {"traces"} | WIRING_FIGURES
    assert "Frame rate" in report.html


def test_spikes_without_calcium_have_no_traces(content: ReportContent) -> None:
    spikes = replace(content, fluorescence=None, activity=None)
    assert "traces" not in render_report(spikes, PARAMS).figures


def test_without_recording_and_steps_the_matrices_remain(bare: ReportContent) -> None:
    report = render_report(bare, PARAMS)
    assert set(report.figures) == WIRING_FIGURES
    assert "was not handed to this report" in report.html


@pytest.mark.parametrize("n_units", [1, 2])
def test_very_small_networks_render(n_units: int) -> None:
    content = make_content(n_units)
    assert set(render_report(content, PARAMS).figures) >= SPIKE_FIGURES | WIRING_FIGURES


def test_silent_units_and_missing_estimates_are_counted(content: ReportContent) -> None:
    recording = content.recording
    assert isinstance(recording, SpikeRecording)
    silent = replace(recording, spike_times=np.empty(0), spike_units=np.empty(0, np.int32))
    nothing = content.connectivity * np.nan
    traces = {"fluorescence": content.fluorescence * 0, "activity": content.activity * 0}
    report = render_report(
        replace(content, recording=silent, connectivity=nothing, **traces), PARAMS
    )
    assert "silent units: 60" in report.html
    assert "3,540 pairs without an estimate" in report.html


def test_all_zero_matrices_render(content: ReportContent) -> None:
    zero = replace(content, connectivity=content.connectivity * 0, truth=content.truth * 0)
    assert "Surest excitatory" not in render_report(zero, PARAMS).html


def test_thinned_matrices_say_so() -> None:
    params = ReportParams(max_matrix_units=20, n_raster_units=10, n_trace_units=3)
    html = render_report(make_content(40), params).html
    assert "20 of 40 units, spread evenly" in html
    assert "10 of 40 units, spread evenly" in html
    assert "3 of 40 units" in html


def test_rows_are_sources_whatever_the_order_of_the_dims(content: ReportContent) -> None:
    turned = replace(content, connectivity=content.connectivity.transpose("target", "source"))
    np.testing.assert_array_equal(read_wiring(turned).weight, content.connectivity["weight"])
    kinds = unit_kinds(read_wiring(turned), np.array([159, 100, 7]))
    assert kinds.tolist() == ["inhibitory", "excitatory", "unknown"]


def test_z_is_required(content: ReportContent) -> None:
    with pytest.raises(InvalidInputError, match=r"\['z'\] missing"):
        render_report(replace(content, connectivity=content.connectivity[["weight"]]), PARAMS)


def test_truth_is_matched_by_unit_id(content: ReportContent, report: Report) -> None:
    assert content.truth is not None
    shuffled = replace(content, truth=content.truth[::-1, ::-1].transpose())
    np.testing.assert_array_equal(read_wiring(shuffled).truth, content.truth)
    unnamed = content.truth.drop_vars(["source", "target"])
    assert render_report(replace(content, truth=unnamed), PARAMS) == report


def test_truth_of_other_units_is_refused(content: ReportContent) -> None:
    assert content.truth is not None
    fewer = content.truth[:10, :10]
    for truth in (fewer, fewer.drop_vars(["source", "target"]), fewer.rename(source="unit")):
        with pytest.raises(InvalidInputError, match="truth must"):
            read_wiring(replace(content, truth=truth))


def test_drawing_leaves_global_settings_alone(content: ReportContent) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mpl.MatplotlibDeprecationWarning)
        before = dict(mpl.rcParams)
        render_report(content, PARAMS)
        assert dict(mpl.rcParams) == before


def test_large_network_is_quick_and_small() -> None:
    content = make_content(300)
    started = time.process_time()
    report = render_report(content, PARAMS)
    assert time.process_time() - started < 8  # 4 s on an idle machine; this one may be busy
    assert len(report.html) < 2_000_000
    for png in report.figures.values():
        Image.open(io.BytesIO(png)).verify()


def _make_expectation() -> pd.DataFrame:
    rows = [
        (1.0, "auroc", 0.83, 0.80, 0.86, 0.5, 8, "ranking of pairs"),
        (1.0, "average_precision", 0.512, 0.4, 0.61, 0.1, 8, "area under the curve"),
        (1.0, "precision", 0.71, 0.6, 0.8, 0.1, 8, "of the significant pairs"),
        (1.0, "recall", 0.33, 0.2, 0.5, 0.05, 8, "of the synapses"),
        (2.0, "auroc", 0.9, 0.85, 0.94, 0.5, 8, "ranking of pairs"),
        (2.0, "average_precision", np.nan, np.nan, np.nan, 0.1, 2, "area under the curve"),
    ]
    names = ["duration_factor", "score", "mean", "low", "high", "chance", "n_networks", "meaning"]
    return pd.DataFrame(rows, columns=names)


@pytest.fixture(scope="module")
def foretold(content: ReportContent) -> ReportContent:
    assumptions = ["8 networks, which see a quarter", HOSTILE]
    unknown = _without_truth(content)
    return replace(unknown, expectation=_make_expectation(), assumptions=assumptions)


def test_expectation_is_said_in_sentences_with_what_it_rests_on(foretold: ReportContent) -> None:
    report = render_report(foretold, PARAMS)
    for words in (
        "What such a result is worth",
        "this setting finds AUROC 0.83 [0.80, 0.86] and average precision 0.51 [0.40, 0.61]",
        "precision is 0.71 [0.60, 0.80]",
        "Twice the duration would give AUROC 0.90 [0.85, 0.94]",
        "average precision that could not be told",
        "8 networks, which see a quarter",
        "&lt;script&gt;",
    ):
        assert words in report.html
    assert set(report.figures) >= {"expectation"}
    assert report == render_report(foretold, PARAMS)
    assert not {"script"} & set(_Links(report.html).tags)


def test_without_expectation_nothing_is_foretold(content: ReportContent) -> None:
    report = render_report(_without_truth(content), PARAMS)
    assert "What such a result is worth" not in report.html
    assert "expectation" not in report.figures


def test_expectation_of_one_score_renders(foretold: ReportContent) -> None:
    table = _make_expectation().head(1).assign(duration_factor=3.0)
    html = render_report(replace(foretold, expectation=table), PARAMS).html
    assert "3 times the duration would give AUROC 0.83 [0.80, 0.86]." in html


def test_significant_pairs_are_counted_with_their_null_and_the_method_with_its_reason(
    content: ReportContent,
) -> None:
    mask = np.abs(content.connectivity["z"]) > 4
    mask = mask.where(mask["source"] != mask["target"], other=False).astype(bool)
    params = {"false_discovery_rate": 0.1}
    masked = replace(
        content,
        connectivity=content.connectivity.assign(mask=mask).assign_attrs(null="surrogate"),
        steps=[{"step": "connectivity", "params": params}],
        reason="the population bursts",
    )
    html = render_report(masked, PARAMS).html
    n_found = int(mask.sum())
    assert f"{n_found:,} of 3,540 pairs are significant" in html
    assert (
        "false discovery rate of 10 %; z was compared with the z-scores of surrogate data" in html
    )
    assert "Why lagged regression: the population bursts." in html
    assert "are significant" not in render_report(content, PARAMS).html
