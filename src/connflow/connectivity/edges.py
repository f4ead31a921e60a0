"""The significant pairs of a result as a table of edges."""

import numpy as np
import pandas as pd
import xarray as xr


def list_edges(connectivity: xr.Dataset) -> pd.DataFrame:
    """List the significant pairs, the surest first.

    Parameters
    ----------
    connectivity : Dataset
        What `infer_connectivity` returns.

    Returns
    -------
    DataFrame
        ``source`` and ``target`` (unit ids), ``weight``, ``z``, ``p``, ``delay_s``.
    """
    sources, targets = np.nonzero(connectivity["mask"].to_numpy())
    found = {
        name: connectivity[variable].to_numpy()[sources, targets]
        for name, variable in (("weight", "weight"), ("z", "z"), ("p", "p"), ("delay_s", "delay"))
    }
    table = pd.DataFrame(
        {
            "source": connectivity["source"].to_numpy()[sources],
            "target": connectivity["target"].to_numpy()[targets],
            **found,
        }
    )
    order = table["z"].abs().sort_values(ascending=False, kind="stable").index
    return table.loc[order].reset_index(drop=True)
