"""The key of one example of each step is pinned: a change of key is a decision."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from connflow.binning import BINNING_VERSION, BinningParams
from connflow.calcium import CALCIUM_VERSION, CalciumParams
from connflow.changepoint import (
    BATCH_VERSION,
    CHANGEPOINT_VERSION,
    BatchParams,
    ChangepointParams,
)
from connflow.connectivity import CONNECTIVITY_VERSION, ConnectivityParams
from connflow.deconvolution import DECONVOLUTION_VERSION, DeconvolutionParams
from connflow.evaluation import EVALUATION_VERSION, EvaluationParams
from connflow.expectation import EXPECTATION_VERSION, ExpectationParams
from connflow.recording import RECORDING_VERSION, RecordingParams
from connflow.recording.network import NETWORK_VERSION, NetworkParams
from connflow.report import REPORT_VERSION, ReportParams
from connflow.store import derive_key
from connflow.trials import TRIALS_VERSION, TrialsParams

PINNED = {
    "network": "b87512a1ff6bbb6a",
    "recording": "e3ac16b9bf38019f",
    "binning": "b1dff983ef1020db",
    "calcium": "c61b26151ecab5d3",
    "deconvolution": "eeb5ace5e81e15dd",
    "connectivity": "84c5078a5cf333e1",
    "evaluation": "8c49f8ea1070ae4d",
    "matching": "1bed4aa98b403c02",
    "report": "7e812548270d710a",
    "trials": "8c3119894c9506f8",
    "changepoint": "8df7b27ead111f14",
    "changepoint_batch": "552b7c7276f43704",
}

EXAMPLES = {
    "network": ("recording", NETWORK_VERSION, NetworkParams()),
    "recording": ("recording", RECORDING_VERSION, RecordingParams()),
    "binning": ("binning", BINNING_VERSION, BinningParams()),
    "calcium": ("calcium", CALCIUM_VERSION, CalciumParams()),
    "deconvolution": ("deconvolution", DECONVOLUTION_VERSION, DeconvolutionParams()),
    "connectivity": ("connectivity", CONNECTIVITY_VERSION, ConnectivityParams()),
    "evaluation": ("evaluation", EVALUATION_VERSION, EvaluationParams()),
    "matching": ("matching", EXPECTATION_VERSION, ExpectationParams()),
    "report": ("report", REPORT_VERSION, ReportParams()),
    "trials": ("trials", TRIALS_VERSION, TrialsParams()),
    "changepoint": ("changepoint", CHANGEPOINT_VERSION, ChangepointParams()),
    "changepoint_batch": (
        "changepoint_batch",
        BATCH_VERSION,
        BatchParams(sources=("a",), places=(0,), fits=(ChangepointParams(n_states=3),)),
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_key_of_the_defaults(name):
    step, version, params = EXAMPLES[name]
    key = derive_key(step, version, params.model_dump(mode="json"), {"input": "x"})
    assert key[:16] == PINNED[name]


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_parameter_says_what_it_means(name):
    fields = type(EXAMPLES[name][2]).model_fields
    assert [field for field, info in fields.items() if len(info.description or "") < 10] == []


def key_of(params):
    return derive_key("connectivity", 1, params.model_dump(mode="json"), {})


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "{ridge: 0.001}",
        "{ridge: 1.0e-3, method: auto}",
        "{method: auto, lags: [1], delay_max_s: 0.010, delay_min_s: 1e-3}",
        "{lags: [1]}",
    ],
)
def test_one_meaning_has_one_key(text):
    """Order, number formats, and defaults spelled out or not make no difference."""
    assert key_of(ConnectivityParams.parse(yaml.safe_load(text))) == key_of(ConnectivityParams())


@given(st.floats(1e-6, 1.0), st.floats(1e-6, 1.0))
def test_another_number_has_another_key(one, other):
    keys = {key_of(ConnectivityParams(ridge=ridge)) for ridge in (one, other)}
    assert len(keys) == len({one, other})


def test_whole_number_for_a_float_is_the_float():
    assert CalciumParams.parse({"tau_s": 1}) == CalciumParams(tau_s=1.0)
    as_int, as_float = (CalciumParams.parse({"tau_s": tau}) for tau in (1, 1.0))
    assert key_of(as_int) == key_of(as_float)
