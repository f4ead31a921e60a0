"""What the foretold accuracy rests on, in words and as a table."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from connflow.expectation.foretelling import at_factor
from connflow.expectation.looks import Judged
from connflow.expectation.measures import Measures
from connflow.expectation.params import RANGES, ExpectationParams

_ALIKE = 0.5  # of the networks' range of looks, that a result may lie beyond it


def tabulate(results: Sequence[Judged]) -> pd.DataFrame:
    """Return a row for each network and duration: what was simulated, and how it was found."""
    rows = []
    for one in results:
        network = one.stand_in.network
        rows.append(
            {
                "seed": network.seed,
                "duration_factor": one.stand_in.duration_factor,
                "duration_s": network.duration_s,
                "connection_probability": network.connection_probability,
                "weight_mean_mv": network.weight_mean_mv,
                "weight_log_sd": network.weight_log_sd,
                "inhibition_factor": network.inhibition_factor,
                "external_rate_hz": network.external_rate_hz,
                "common_drive_sd": network.common_drive_sd,
                "log_share": one.look[0],
                "log_clear": one.look[1],
                **{name: value for name, (value, _) in one.scores.items()},
            }
        )
    return pd.DataFrame(rows)


def state_assumptions(
    measures: Measures,
    look: NDArray[np.float64],
    results: Sequence[Judged],
    params: ExpectationParams,
) -> list[str]:
    """Say in sentences how the networks were made, what of them is assumed, and where they differ.

    Parameters
    ----------
    measures : Measures
        Of the recording.
    look : (2,) float64
        What its result looks like.
    results
        On the networks.
    params : ExpectationParams
    """
    return [
        _say_measured(measures, results),
        _say_seen(params, results),
        _say_wiring(params),
        "Not matched: each unit's own rate, bursts of the whole population, electrical synapses, "
        "and whatever a real network has that this one lacks. Take the figures as what the method "
        "can do on such activity, not as a guarantee.",
        *_say_limits(measures, look, results, params),
    ]


def _say_measured(measures: Measures, results: Sequence[Judged]) -> str:
    imaged = (
        f", imaged at {measures.frame_rate_hz:.3g} Hz with a decay of {measures.tau_s:.2g} s and "
        f"noise of {measures.noise_sd:.2g} of one spike's transient"
        if measures.frame_rate_hz
        else ""
    )
    shared = f", rates that vary together by {100 * measures.shared_sd:.0f} %"
    rate = f"{measures.rate_hz:.3g} Hz{shared if measures.shared_sd else ''}{imaged}"
    return (
        f"{len(at_factor(results, 1.0))} networks of leaky integrate-and-fire units, analysed by "
        "the same steps with the same parameters. Matched to the recording by short simulations: "
        f"a mean rate of {rate}."
    )


def _say_seen(params: ExpectationParams, results: Sequence[Judged]) -> str:
    n_units = results[0].stand_in.network.n_units
    return (
        f"The recording sees {100 * params.observed_fraction:.3g} % of its local network: "
        f"{round(params.observed_fraction * n_units)} of {n_units} simulated units are observed, "
        "drawn at random (expectation.observed_fraction)."
    )


def _say_wiring(params: ExpectationParams) -> str:
    ranges = [
        f"{name.replace('_', ' ')} {low:g} to {high:g}"
        for name in RANGES
        for low, high in [getattr(params, name)]
    ]
    return (
        "Wiring at random, without structure, with delays of 1 to 3 ms; spread over the networks: "
        f"{', '.join(ranges)}."
    )


def _say_limits(
    measures: Measures,
    look: NDArray[np.float64],
    results: Sequence[Judged],
    params: ExpectationParams,
) -> Iterator[str]:
    n_missing = params.n_networks - len(at_factor(results, 1.0))
    if n_missing:
        yield f"On {n_missing} of {params.n_networks} networks a step failed; they are left out."
    one = results[0].stand_in
    network, duration_s = one.network, one.network.duration_s / one.duration_factor
    n_seen = round(params.observed_fraction * network.n_units)
    if n_seen < measures.n_units:
        yield (
            f"The networks are smaller than the recording, which has {measures.n_units} units "
            f"(expectation.max_units is {params.max_units})."
        )
    if n_seen > measures.n_units:
        yield (
            f"The networks are larger than the recording: with only {measures.n_units} units its "
            "scores may lie further apart than the intervals say."
        )
    if duration_s < 0.99 * measures.duration_s:
        yield (
            f"The networks are watched for {duration_s:g} s, less than the recording's "
            f"{measures.duration_s:g} s (expectation.max_duration_s)."
        )
    looks = np.array([one.look for one in at_factor(results, 1.0)])
    if len(looks) and not is_alike(look, looks):
        yield (
            "The result looks unlike those on all the networks, in how many pairs are significant "
            "or in how clear they are: something that is assumed does not hold for this recording, "
            "and the figures may be far off."
        )


def is_alike(look: NDArray[np.float64], looks: NDArray[np.float64]) -> bool:
    """Whether a result looks like those on the networks, give or take half of their range."""
    margin = _ALIKE * np.ptp(looks, axis=0)
    inside = (look >= looks.min(axis=0) - margin) & (look <= looks.max(axis=0) + margin)
    return bool(np.all(inside))
