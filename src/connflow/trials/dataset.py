"""Trials as a labelled dataset, the form in which artifacts hold them."""

import numpy as np
import pandas as pd
import xarray as xr

from connflow.trials.model import Trials


def trials_to_dataset(trials: Trials) -> xr.Dataset:
    """Return ``values`` over (trial, time, unit); the two tables lie beside it."""
    return xr.Dataset(
        {"values": (("trial", "time", "unit"), trials.values)},
        coords={
            "trial": trials.trial_ids,
            "time": ("time", trials.bin_starts_s, {"units": "s"}),
            "unit": trials.unit_ids,
        },
        attrs={
            "signal": "trials",
            "bin_size_s": trials.bin_size_s,
            "t_start": trials.t_start,
        },
    )


def trials_from_dataset(dataset: xr.Dataset, units: pd.DataFrame, table: pd.DataFrame) -> Trials:
    """Return the trials of a dataset and its tables of units and trials."""
    return Trials(
        values=np.asarray(dataset["values"], np.float64),
        bin_size_s=float(dataset.attrs["bin_size_s"]),
        t_start=float(dataset.attrs["t_start"]),
        units=units,
        table=table,
    )
