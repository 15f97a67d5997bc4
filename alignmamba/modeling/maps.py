"""Alignment maps of one clip: plan and cost at the places that its steps have in the clip."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from torch import Tensor

from alignmamba.modality import Modality
from alignmamba.modeling.encoders import Stream
from alignmamba.modeling.mmd import BLOCK_PAIRS
from alignmamba.modeling.model import stream_cost
from alignmamba.modeling.transport import Plan
from alignmamba.prediction import Alignment


def alignment(
    source: Modality,
    target: Modality,
    plan: Plan,
    *,
    streams: Mapping[Modality, Stream],
    valid: Mapping[Modality, np.ndarray],
    time_weight: float,
) -> Alignment:
    """Plan and cost of one clip; the cost is made in blocks of rows, which a talk of minutes has no memory for at once.

    Args:
        source: Modality of the rows.
        target: The anchor.
        plan: Of the clip.
        streams: Of the clip, both modalities.
        valid: Which steps of each modality are valid; streams hold these only.
        time_weight: Of the cost.
    """
    stream, other = streams[source], streams[target]
    rows = max(1, BLOCK_PAIRS // other.x.shape[1])
    parts = zip(stream.x.split(rows, 1), stream.seconds.split(rows, 1), strict=True)
    costs = (stream_cost(stream._replace(x=x, seconds=at), other, time_weight=time_weight)[0] for x, at in parts)
    places = {"rows": valid[source], "columns": valid[target]}
    return Alignment(
        source=source,
        target=target,
        plan=scattered_matrix(plan.dense()[0].split(rows), **places, fill=0.0),
        cost=scattered_matrix(costs, **places, fill=np.nan),
    )


def scattered(rows: Tensor, valid: np.ndarray, *, fill: float = 0.0) -> np.ndarray:
    """Scatter rows of valid steps, perhaps padded at the end, to their places; other rows are `fill`."""
    spread = np.full((len(valid), *rows.shape[1:]), fill, np.float32)
    spread[valid] = rows[: int(valid.sum())].detach().cpu().numpy()
    return spread


def scattered_matrix(blocks: Iterable[Tensor], *, rows: np.ndarray, columns: np.ndarray, fill: float) -> np.ndarray:
    """Scatter a matrix of valid rows and columns, given in blocks of rows, as `scattered` does.

    Args:
        blocks: Rows, perhaps padded at both ends.
        rows: Which rows of the whole are valid.
        columns: Which columns are.
        fill: Of all others.
    """
    matrix = np.full((len(rows), len(columns)), fill, np.float32)
    places, across, first = rows.nonzero()[0], columns.nonzero()[0], 0
    for block in blocks:
        down = places[first : first + len(block)]
        matrix[np.ix_(down, across)] = block[: len(down), : len(across)].detach().cpu().numpy()
        first += len(block)
    return matrix
