"""Scores, intervals, verdicts and the page, on numbers small enough to check by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import t

from benchmarks.accuracy import tables
from benchmarks.accuracy.answer import Answer
from benchmarks.accuracy.cases import CASES
from benchmarks.accuracy.contenders import SPIKES
from benchmarks.accuracy.kept import Results
from benchmarks.accuracy.page import write_page
from benchmarks.accuracy.run import entries_of, run_case
from benchmarks.accuracy.scoring import RECALLS, discoveries, score
from benchmarks.accuracy.tables import Standing, mean_of, verdict

CASE = CASES["n300-30min"].shortened()


def standing(name: str, *precision: float) -> Standing:
    rows = [
        {
            "seed": seed,
            "cpu_s": 1.0,
            "scores": {"average_precision": value, "chance": 0.1, "curve": [value] * len(RECALLS)},
        }
        for seed, value in enumerate(precision)
    ]
    return Standing(name, SPIKES[name], rows, is_current=True)


def test_interval_is_students() -> None:
    mean = mean_of([1.0, 2.0, 3.0])
    assert mean.value == 2.0
    assert mean.half_width == pytest.approx(t.ppf(0.975, 2) / np.sqrt(3))
    assert str(mean_of([0.5])) == "0.500"


@pytest.mark.parametrize(
    ("ours", "rival", "said"),
    [
        ((0.90, 0.91, 0.92), (0.80, 0.81, 0.81), "is ahead of the best rival, GLMCC,"),
        ((0.80, 0.81, 0.81), (0.90, 0.91, 0.92), "**GLMCC wins**"),
        ((0.80, 0.90, 0.85), (0.85, 0.84, 0.86), "are level"),
        ((0.80,), (0.70,), "With one seed nobody is ahead"),
    ],
)
def test_verdict_follows_the_paired_differences(
    ours: tuple[float, ...], rival: tuple[float, ...], said: str
) -> None:
    standings = [standing("auto", *ours), standing("glmcc", *rival)]
    assert said in " ".join(verdict(standings, {}))


def test_goals_are_judged_by_the_mean() -> None:
    said = verdict([standing("auto", 0.8, 0.9)], {"average_precision": 0.85})
    assert "Goal AP ≥ 0.85: reached (0.850" in said[0]
    said = verdict([standing("auto", 0.8, 0.9)], {"average_precision": 0.86})
    assert "**not reached**" in said[0]


def test_discoveries_by_hand() -> None:
    found = np.array([True, True, True, False, False, False])
    connected = np.array([True, True, False, True, False, False])
    said = discoveries(found, connected)
    assert said["false_discovery_proportion"] == pytest.approx(1 / 3)
    assert said["recall"] == pytest.approx(2 / 3)
    assert said["mcc"] == pytest.approx((2 * 2 - 1 * 1) / 9)


def test_perfect_answer_scores_one_and_its_transpose_does_not() -> None:
    weights = np.triu(np.ones((6, 6)), 1) * np.array([1, 1, -1, 1, 1, -1])[:, None]
    scores = score(Answer(weights, weights, weights != 0), weights)
    assert [scores[name] for name in ("auroc", "average_precision", "recall")] == [1, 1, 1]
    assert scores["auroc_transposed"] == 0
    assert scores["sign_accuracy"] == 1


def test_what_was_run_is_not_run_again_and_comes_on_the_page(tmp_path: Path) -> None:
    results = Results(tmp_path / "results.jsonl")
    only = ("lags_1_6", "calnet")
    run_case("n300-30min", CASE, range(2), results, tmp_path, only)
    first = results.file.read_text()
    assert first.count("\n") == 4
    run_case("n300-30min", CASE, range(2), results, tmp_path, only)
    assert results.file.read_text() == first
    page = tmp_path / "page.md"
    write_page(page, {"n300-30min": CASE}, results, tmp_path / "none.json", 2)
    text = page.read_text()
    assert "lagged regression, 1-6 ms" in text
    assert "is ahead of the best rival, calnet: OLS, lag 10 ms," in text
    assert "Seeds 0 to 1" in text
    assert (tmp_path / "benchmark" / "n300-30min.png").stat().st_size < 80_000


def test_another_program_makes_a_result_stale_but_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = Results(tmp_path / "results.jsonl")
    entry = next(iter(entries_of("n300-30min", CASE, 0)))
    row: dict[str, Any] = {"key": "old", "recording": entry.recording, "contender": entry.name}
    results.add({**row, "seed": 0, "scores": {"average_precision": 0.5}, "cpu_s": 1.0})
    (found,) = tables.standings_of("n300-30min", CASE, results, 1)
    assert not found.is_current
    results.add({**row, "key": entry.key, "seed": 0, "scores": {}, "cpu_s": 1.0})
    (found,) = tables.standings_of("n300-30min", CASE, results, 1)
    assert found.is_current


def test_every_case_can_be_shortened_and_has_goals_that_are_scores() -> None:
    for case in CASES.values():
        assert case.shortened().network.n_units <= 100
        assert set(case.reach) <= set(tables.NAMES)
