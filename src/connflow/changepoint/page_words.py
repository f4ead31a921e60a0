"""The words and tables of a fit's page."""

from typing import Any

import numpy as np
import pandas as pd

from connflow.changepoint.fit_view import FitView
from connflow.report.tables import Fact
from connflow.report.words import NOTHING, say_number

N_RESPONSES = 15
SURE = 0.05
"""A response is counted where its q is below this."""


def list_headlines(view: FitView) -> list[Fact]:
    """Return the numbers at the top of the page."""
    size = f"{1000 * view.bin_size_s:.4g} ms"
    facts = [
        Fact("Trials", say_number(view.n_trials), _say_lengths(view)),
        Fact("Units", say_number(view.n_units)),
        Fact("Bins", say_number(view.n_time_bins), f"of {size}"),
        Fact("States", say_number(view.n_states), say_choice(view)),
    ]
    bits = view.fit.attrs.get("held_out_bits_per_spike")
    if bits is not None:
        facts.append(
            Fact("Held out", f"{float(bits):+.3f}", f"{_bits(view)} against a static rate")
        )
    if view.n_changepoints:
        width = _interval_widths(view)
        finite = width[np.isfinite(width)]
        share = 100 * float(view.fit.attrs.get("coverage", 0.9))
        if len(finite):
            median = f"{1000 * np.median(finite):.3g} ms"
            facts.append(Fact("Changepoint known to", median, f"median {share:.3g} % interval"))
    return facts


def say_choice(view: FitView) -> str:
    """Return how the number of states came about."""
    table = view.tables.get("evidence")
    if view.may_skip:
        return "at most; a trial may skip some"
    if table is None or len(table) < 2:
        return "given"
    row = table[table["n_states"] == view.n_states]
    if row.empty:
        return "given"
    first, last = table["n_states"].min(), table["n_states"].max()
    return f"of {first} to {last}, probability {float(row['probability'].iloc[0]):.2f}"


def say_fit(view: FitView) -> list[str]:
    """Return sentences on what was fitted and how good it is."""
    attrs = view.fit.attrs
    what = f"{attrs['surrogate']} surrogates" if attrs.get("surrogate") else "activity"
    emission = str(attrs.get("emission", "poisson")).replace("_", " ")
    n_trials, n_units = say_number(view.n_trials), say_number(view.n_units)
    sentences = [
        f"The {what.replace('_', ' ')} of {n_units} unit{_s(view.n_units)} in {n_trials} "
        f"trial{_s(view.n_trials)} of up to {view.n_time_bins} bins of "
        f"{1000 * view.bin_size_s:.4g} ms, as {_say_states(view.n_states)} "
        f"({emission}). {_say_number_of_states(view)}"
    ]
    if len(view.groups) > 1:
        sentences.append(
            f"Levels differ between {len(view.groups)} groups of trials: "
            f"{', '.join(view.groups[:12])}{' ...' if len(view.groups) > 12 else ''}."
        )
    if not attrs.get("converged", True):
        sentences.append(
            f"Inference had not come to an end after {attrs.get('max_iterations')} rounds: raise "
            "max_iterations."
        )
    if attrs.get("held_out_bits_per_spike") is not None:
        sentences.append(_say_held_out(float(attrs["held_out_bits_per_spike"]), _bits(view)))
    return sentences


def list_changepoints(view: FitView) -> list[dict[str, str]]:
    """Return one row a changepoint: when it comes, how that varies, how well it is known."""
    median, width = view.changepoint("median"), _interval_widths(view)
    return [
        {
            "name": f"{number + 1} to {number + 2}",
            "n_trials": say_number(int(np.isfinite(median[:, number]).sum())),
            "median": _say_quantiles(median[:, number], 0.5),
            "spread": _say_quantiles(median[:, number], 0.25, 0.75),
            "width": _say_quantiles(1000 * width[:, number], 0.5),
        }
        for number in range(view.n_changepoints)
    ]


def list_responses(view: FitView) -> list[dict[str, str]] | None:
    """Return the surest responses of units, or None where they were not tested."""
    table = view.tables.get("responses")
    if table is None or table.empty:
        return None
    order, ascending = ["q", "p", "size"], [True, True, False]
    sized = table.assign(size=table["statistic"].abs())
    best = sized.sort_values(order, ascending=ascending).head(N_RESPONSES)
    return [_describe_response(row) for row in best.to_dict("records")]


def say_responses(view: FitView) -> list[str]:
    """Return how many units respond, and why the tests may be trusted."""
    table = view.tables.get("responses")
    if table is None:
        return [
            "Responses of single units were not tested (n_shuffles is 0). Do not test them on the "
            "changepoints of this fit: these were found with the units' own activity, so that p "
            "would be too small."
        ]
    if table.empty:
        return [
            "There was nothing to test: responses are tested with changepoints that were found "
            "without the unit, which takes two units and two states at least."
        ]
    counts = [
        f"{int((one.groupby('unit')['q'].min() < SURE).sum())} of {len(one['unit'].unique())} "
        f"units respond to {'the states' if kind == 'state' else 'a transition'}"
        for kind, one in table.groupby("test")
    ]
    return [
        f"{' and '.join(counts)} at q < {SURE:g}. The tests are cross-fitted: the changepoints "
        "that a unit is tested against were found without this unit, so that p is not flattered "
        "by the search. q: false discovery rate over all tests of the kind. Statistic: variance "
        "of the activity between states; change of it across a transition, a bin."
    ]


def _say_states(n_states: int) -> str:
    return "one state" if n_states == 1 else f"{n_states} successive states"


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _say_lengths(view: FitView) -> str:
    shortest, longest = int(view.lengths.min()), int(view.lengths.max())
    return "" if shortest == longest else f"of {shortest} to {longest} bins"


def _say_number_of_states(view: FitView) -> str:
    table = view.tables.get("evidence")
    choice = say_choice(view)
    if choice.startswith("at most"):
        return "A trial may leave states out; their number is an upper limit."
    if choice == "given" or table is None:
        return "The number of states was given."
    text = f"The number of states was chosen by evidence: {choice}"
    if view.n_states == table["n_states"].max():
        return (
            f"{text}. It is the most that was tried, so that it may be where the search ended and "
            f"not what the data say: {_say_limit(view)}."
        )
    rest = table[table["n_states"] != view.n_states].nlargest(1, "probability")
    second = float(rest["probability"].iloc[0])
    if second < 0.01:
        return f"{text}, clear of all others."
    return f"{text}; next is {int(rest['n_states'].iloc[0])} with {second:.2f}."


def _say_limit(view: FitView) -> str:
    if view.n_states >= int(view.fit.attrs.get("max_states", view.n_states)):
        return "raise max_states"
    shortest = int(view.lengths.min())
    return (
        f"the shortest trial, of {shortest} bins, has no room for more; leave short trials out, or "
        "take smaller bins"
    )


def _bits(view: FitView) -> str:
    return "bits/spike" if view.is_counts else "bits/value"


def _say_held_out(gain: float, bits: str) -> str:
    if gain > 0:
        return (
            f"Held-out: {gain:.3f} {bits} above a static rate: states foretell trials that "
            "were not fitted better than each unit's mean does."
        )
    return (
        f"Held-out: {abs(gain):.3f} {bits} below a static rate: on trials that were not "
        "fitted, the states are worth no more than each unit's mean."
    )


def _interval_widths(view: FitView) -> Any:
    return view.changepoint("high") - view.changepoint("low")


def _say_quantiles(values: Any, *quantiles: float) -> str:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return NOTHING
    return " to ".join(f"{one:.4g}" for one in np.quantile(finite, quantiles))


def _describe_response(row: dict[Any, Any]) -> dict[str, str]:
    changepoint = row.get("changepoint")
    is_named = row["test"] != "state" and changepoint is not None and not pd.isna(changepoint)
    number = int(changepoint or 0) if is_named else 0
    return {
        "unit": str(row["unit"]),
        "test": f"{number + 1} to {number + 2}" if is_named else "differs between states",
        "statistic": say_number(float(row["statistic"])),
        "p": f"{float(row['p']):.2g}",
        "q": f"{float(row['q']):.2g}",
    }
