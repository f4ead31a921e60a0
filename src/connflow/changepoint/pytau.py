"""What a model database of PyTau says: which fits there were, and how to make them here.

PyTau keeps a table, ``model_database.csv``, of its fits, and the fits themselves as pickles. The
table is read; pickles are not, since opening one runs whatever a stranger has put into it. Fitting
again takes less time than opening it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from connflow.errors import InvalidInputError, RecordingError, first_line

COLUMNS = {
    "data.animal_name": "animal",
    "data.session_date": "session_date",
    "data.region_name": "region",
    "data.taste_num": "taste",
    "data.laser_type": "laser",
    "data.data_dir": "source",
    "preprocess.time_lims": "time_lims_ms",
    "preprocess.bin_width": "bin_width_ms",
    "preprocess.data_transform": "transform",
    "model.states": "n_states",
    "model.model_template_name": "model",
    "exp.exp_name": "experiment",
    "exp.model_id": "model_id",
    "exp.fit_date": "fit_date",
    "exp.save_path": "saved_as",
}
SURROGATES = ("trial_shuffled", "spike_shuffled", "simulated")
MODELS: dict[str, dict[str, Any]] = {
    "dirichlet": {"sequence": "skipping"},
    "varsig": {"transition": "gradual"},
    "trial_switch": {"n_trial_blocks": 2},
    "categorical": {"emission": "categorical"},
    "gaussian": {"emission": "gaussian_mean"},
    "mean_var": {"emission": "gaussian_mean_variance"},
}
"""What a part of the name of PyTau's model means here; later ones overrule."""

_NOTHING = ("None", "none", "nan", "all", "")
_NEEDED = ("source", "n_states", "bin_width_ms", "time_lims_ms")


def read_pytau_database(path: str | Path) -> pd.DataFrame:
    """Read the table of fits of PyTau.

    Parameters
    ----------
    path
        ``model_database.csv``.

    Returns
    -------
    DataFrame
        A row for each fit, with the columns of `COLUMNS` that there are; ``settings``, a dict with
        the sections ``trials`` and ``changepoint`` that fit the same here; and ``left_out``, what
        the table says of a fit that its settings do not hold, empty if nothing.

    Raises
    ------
    RecordingError
        If it is no such table, or a pickle.
    """
    file = Path(path)
    if file.suffix.lower() != ".csv":
        raise RecordingError(
            f"{file}: PyTau's fits are pickles, which are not opened, since they can run code of a "
            "stranger. Name model_database.csv instead: its rows say how each fit was made, and "
            "fitting again takes a fraction of a second"
        )
    try:
        table = pd.read_csv(file)
    except (OSError, ValueError) as error:
        raise RecordingError(f"{file}: cannot be read as CSV: {first_line(error)}") from error
    known = table.rename(columns=COLUMNS)[[new for old, new in COLUMNS.items() if old in table]]
    missing = [name for name in _NEEDED if name not in known]
    if missing:
        raise RecordingError(
            f"{file}: no model database of PyTau: it has no columns for {', '.join(missing)}"
        )
    known = known.dropna(subset=list(_NEEDED)).reset_index(drop=True)
    settings = [_settings(row, file) for row in known.to_dict("records")]
    left_out = ["; ".join(_left_out(row)) for row in known.to_dict("records")]
    return known.assign(settings=pd.Series(settings, dtype=object), left_out=left_out)


def _settings(row: dict[Any, Any], file: Path) -> dict[str, dict[str, Any]]:
    start_ms, stop_ms = _limits(str(row["time_lims_ms"]), file)
    trials = {
        "bin_size_s": float(row["bin_width_ms"]) / 1000,
        "t_start": start_ms / 1000 - 2.0,  # PyTau counts from the start of the array
        "t_stop": stop_ms / 1000 - 2.0,
    }
    changepoint: dict[str, Any] = {"n_states": int(row["n_states"]), "timing": "uniform"}
    for part, meant in MODELS.items():
        if part in _text(row, "model"):
            changepoint |= meant
    if _text(row, "transform") in SURROGATES:
        changepoint["surrogate"] = _text(row, "transform")
    if region := _text(row, "region"):
        changepoint["region"] = region
    return {"trials": trials, "changepoint": changepoint}


def _left_out(row: dict[Any, Any]) -> Iterator[str]:
    """Yield what has no setting here, or needs a name that only the session's own files hold."""
    if (transform := _text(row, "transform")) and transform not in SURROGATES:
        yield f"the transform {transform}"
    if taste := _text(row, "taste"):
        yield f"only taste {taste}: name it in changepoint.conditions"
    if laser := _text(row, "laser"):
        yield f"only trials with laser {laser}: write these alone into a file of trials"


def _text(row: dict[Any, Any], name: str) -> str:
    text = str(row.get(name, ""))
    return "" if text in _NOTHING else text


def _limits(text: str, file: Path) -> tuple[float, float]:
    numbers = np.array(text.strip("[]() ").replace(",", " ").split(), str)
    try:
        start, stop = numbers.astype(np.float64)
    except ValueError:
        raise InvalidInputError(
            f"{file}: time_lims must be two numbers (ms), such as [2000, 4000], not {text!r}"
        ) from None
    return float(start), float(stop)
