"""The key of one example of each step is pinned: a change of key is a decision."""

import pytest

from connflow.binning import BINNING_VERSION, BinningParams
from connflow.calcium import CALCIUM_VERSION, CalciumParams
from connflow.connectivity import CONNECTIVITY_VERSION, ConnectivityParams
from connflow.deconvolution import DECONVOLUTION_VERSION, DeconvolutionParams
from connflow.evaluation import EVALUATION_VERSION, EvaluationParams
from connflow.recording import RECORDING_VERSION, RecordingParams
from connflow.recording.network import NETWORK_VERSION, NetworkParams
from connflow.report import REPORT_VERSION, ReportParams
from connflow.store import derive_key

PINNED = {
    "network": "55ce8d0086d07bb1",
    "recording": "941c1af0c9ad22ef",
    "binning": "b1dff983ef1020db",
    "calcium": "c61b26151ecab5d3",
    "deconvolution": "33141756d34c1cde",
    "connectivity": "45448508d32bbcfa",
    "evaluation": "d541209f3932c0ba",
    "report": "7e812548270d710a",
}

EXAMPLES = {
    "network": ("recording", NETWORK_VERSION, NetworkParams()),
    "recording": ("recording", RECORDING_VERSION, RecordingParams()),
    "binning": ("binning", BINNING_VERSION, BinningParams()),
    "calcium": ("calcium", CALCIUM_VERSION, CalciumParams()),
    "deconvolution": ("deconvolution", DECONVOLUTION_VERSION, DeconvolutionParams()),
    "connectivity": ("connectivity", CONNECTIVITY_VERSION, ConnectivityParams()),
    "evaluation": ("evaluation", EVALUATION_VERSION, EvaluationParams()),
    "report": ("report", REPORT_VERSION, ReportParams()),
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
