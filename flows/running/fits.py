"""The catalogue of changepoint fits: a query over all of a store, single ones and batches."""

from typing import TYPE_CHECKING, Any

from connflow.errors import InvalidInputError, first_line
from connflow.store import ArtifactRef, Store
from tasks.changepoint import BATCH

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "source",
    "region",
    "emission",
    "n_states",
    "surrogate",
    "bin_size_s",
    "n_trials",
    "n_units",
    "evidence",
    "probability",
    "held_out_bits_per_spike",
    "state",
    "reason",
    "artifact",
)


def find_fits(store: Store, where: str = "") -> "pd.DataFrame":
    """Return the fits of a store, a row each.

    Parameters
    ----------
    store : Store
    where : str
        Condition on `COLUMNS` as `pandas.DataFrame.query` takes it:
        ``n_states == 3 and region == 'GC' and evidence > -5000``.

    Raises
    ------
    InvalidInputError
        If the condition cannot be read.
    """
    import pandas as pd

    tables = [_batch(store, ref) for ref in store.list_refs(BATCH)]
    singles = [_single(store, ref) for ref in store.list_refs("changepoint")]
    table = pd.concat([*tables, pd.DataFrame(singles)], ignore_index=True)
    table = table.reindex(columns=list(COLUMNS))
    if not where or table.empty:
        return table
    try:
        return table.query(where)
    except Exception as error:
        raise InvalidInputError(
            f"--where {where!r} cannot be read: {first_line(error)}. It names columns such as "
            f"{', '.join(COLUMNS[:9])}, e.g. n_states == 3 and region == 'GC'"
        ) from None


def _batch(store: Store, ref: ArtifactRef) -> "pd.DataFrame":
    return store.read_table(ref).assign(artifact=f"{ref.step}/{ref.short}")


def _single(store: Store, ref: ArtifactRef) -> dict[str, Any]:
    dataset = store.open_dataset(ref)
    attrs = dataset.attrs
    made_from = store.manifest(ArtifactRef.parse(store.manifest(ref).inputs["trials"]))
    return {
        **{name: attrs.get(name) for name in COLUMNS},
        "source": next(iter(made_from.sources.values()), made_from.key[:8]),
        "probability": attrs["n_states_probability"],
        "n_trials": dataset.sizes["trial"],
        "n_units": dataset.sizes["unit"],
        "state": "Completed",
        "reason": "",
        "artifact": f"{ref.step}/{ref.short}",
    }


def sort_fits(table: "pd.DataFrame", by: str) -> "pd.DataFrame":
    """Return fits by a column, the largest first."""
    if by not in table:
        raise InvalidInputError(f"--by {by}: no such column; known: {', '.join(COLUMNS)}")
    return table.sort_values(by, ascending=False, kind="stable", ignore_index=True)
