"""Inferred connectivity as GraphML, which Gephi, Cytoscape, igraph and networkx read.

Written edge by edge: networkx, which builds the whole document first, takes 2 kB an edge, 9 GB for
2000 units without a threshold.

References
----------
Brandes et al. 2002, GraphML progress report, doi:10.1007/3-540-45848-4_59.
"""

from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import pandas as pd
import xarray as xr

from connflow.exchange.edges import describe, to_edges, unit_ids, written_whole

_HEAD = """<?xml version="1.0" encoding="utf-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns"
         xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
         xsi:schemaLocation="http://graphml.graphdrawing.org/xmlns
                             http://graphml.graphdrawing.org/xmlns/1.0/graphml.xsd">
"""


def write_graphml(dataset: xr.Dataset, path: str | Path, threshold_z: float | None = None) -> None:
    """Write a directed graph as GraphML.

    Node ids are unit ids, and all units are nodes, those without edges too. Edges bear ``weight``
    and ``z``; the graph bears the method and its parameters. See `to_edges` for the parameters.
    """
    edges = to_edges(dataset, threshold_z)
    described = describe(dataset, threshold_z)
    with written_whole(path) as aside, aside.open("w", encoding="utf-8") as file:
        file.write(_HEAD)
        file.writelines(_keys(described))
        file.write('<graph edgedefault="directed">\n')
        file.writelines(_data(name, value) for name, value in described.items())
        file.writelines(f'<node id="{unit}"/>\n' for unit in unit_ids(dataset))
        file.writelines(_edges(edges))
        file.write("</graph>\n</graphml>\n")


def _keys(described: dict[str, str | float]) -> Iterator[str]:
    """Declare the attributes; their ids are their names."""
    for name, value in described.items():
        yield _key("graph", name, "string" if isinstance(value, str) else "double")
    for name in ("weight", "z"):
        yield _key("edge", name, "double")


def _key(owner: str, name: str, kind: str) -> str:
    label, key = quoteattr(name), quoteattr(_key_id(owner, name))
    return f'<key id={key} for="{owner}" attr.name={label} attr.type="{kind}"/>\n'


def _key_id(owner: str, name: str) -> str:
    return name if owner == "edge" else f"{owner}_{name}"


def _data(name: str, value: str | float) -> str:
    return f"<data key={quoteattr(_key_id('graph', name))}>{escape(str(value))}</data>\n"


def _edges(edges: pd.DataFrame) -> Iterator[str]:
    columns = (edges[name].tolist() for name in ("source", "target", "weight", "z"))
    for source, target, weight, z in zip(*columns, strict=True):
        yield (
            f'<edge source="{source}" target="{target}">'
            f'<data key="weight">{weight!r}</data><data key="z">{z!r}</data></edge>\n'
        )
