"""dynamax's hidden Markov model, where it coincides with ours.

A left-to-right HMM that stays or goes on with probability 1/2 gives every way to cut a trial the
weight ``2 ** (1 - n_bins)``, if it must end in the last state and may not leave it: what lies
beyond is a state that no bin can have come from.
"""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from connflow.changepoint.emissions import choose_emission
from connflow.changepoint.observations import Observations
from connflow.changepoint.paths import StepPaths
from connflow.changepoint.timing import UniformTiming
from tests.connflow.changepoint.lab import simulate

IMPOSSIBLE = -1e6


@pytest.fixture
def dynamax_python():
    python = os.environ.get("CONNFLOW_DYNAMAX_PYTHON")
    if python is None:
        pytest.skip(
            "DYNAMAX NOT COMPARED: set CONNFLOW_DYNAMAX_PYTHON to a Python in which dynamax is "
            "installed (it brings jax, 600 MB)"
        )
    return python


@pytest.mark.parametrize("n_states", [2, 3, 4])
@pytest.mark.parametrize("name", ["poisson", "gaussian_mean_variance"])
def test_evidence_and_states_are_those_of_dynamax(name, n_states, dynamax_python, tmp_path):
    values, cuts, _ = simulate(n_states, n_trials=1, n_bins=40, n_states=n_states)
    emission = choose_emission(name, values)
    seen = Observations(values, with_squares=emission.with_squares)
    weights = StepPaths(n_states).weigh(cuts, seen.lengths, 40)
    states = emission.coefficients(emission.posterior(seen.sums(weights)))
    log_likelihood = seen.log_likelihood(states)
    ours = StepPaths(n_states).infer(
        log_likelihood, seen.lengths, UniformTiming(n_states, 40, 1).start(1)
    )

    beyond = np.full((40, 1), IMPOSSIBLE)
    given = np.hstack([log_likelihood[0, :, 0], beyond])
    given[-1, : n_states - 1] += IMPOSSIBLE
    transition = 0.5 * (np.eye(n_states + 1) + np.eye(n_states + 1, k=1))
    transition[-1, -1] = 1.0
    np.savez(
        tmp_path / "given.npz",
        initial=np.eye(n_states + 1)[0],
        transition=transition,
        log_likelihood=given,
    )
    script = Path(__file__).parents[3] / "benchmarks/_dynamax_smoother.py"
    command = [dynamax_python, script, tmp_path / "given.npz", tmp_path / "found.npz"]
    subprocess.run(command, check=True, capture_output=True)
    with np.load(tmp_path / "found.npz") as found:
        theirs, smoothed = float(found["log_evidence"]), found["states"][:, :n_states]
    evidence = ours.log_evidence[0, 0] - 39 * np.log(2)
    assert evidence == pytest.approx(theirs, abs=1e-8)
    # dynamax adds 1e-15 to probabilities that it divides by
    np.testing.assert_allclose(ours.weights[0, :, 0], smoothed, atol=1e-6)
