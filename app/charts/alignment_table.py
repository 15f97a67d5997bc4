"""Alignments and contributions as tables for charts, small enough for a browser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from alignmamba.modality import Modality
from app.i18n.wording import DISPLAY_ORDER, RELAXED, Solver, name, signed, subset
from extractors.schema import ClipFeatures, ModalityFeatures, Word
from extractors.vision.stills import Moment, quarters_of

if TYPE_CHECKING:
    # Only for annotations: importing windows loads torch, and the page must show before that.
    from alignmamba.evaluation.windows import Window
    from alignmamba.prediction import Alignment, Prediction

# Rectangles that a browser draws and hovers without lag; a map with more cells is averaged over neighbouring steps.
MAX_CELLS = 20_000
# Bins of the contribution strip per modality, a few pixels each on a wide screen.
MAX_MOMENTS = 300
LABEL_CHARACTERS = 24
FAINTEST_SHARE = 0.1  # of a step's largest weight; a plan's cells below are not drawn


@dataclass(frozen=True, kw_only=True)
class AlignmentTable:
    """One alignment as rows.

    Attributes:
        source: Name of the aligned modality, on screen.
        anchor: Name of the modality that it is aligned to.
        solver: How the plan was found, untranslated.
        words: Row labels in order when the anchor is language, else none.
        rows: Steps of the anchor.
        duration: Seconds that the axes show.
        cells: Cost per cell: `start`, `end`, `anchor_start`, `anchor_end` (seconds), `cost`, `weight` (sum over the
            cell), `share` (of the source steps' weight) and, when the anchor is language, `label` and `word`.
        plan: The same columns for the cells that carry weight; never averaged where each step has one of them.
        cost: Total cost of the plan: the sum of weight times cost.
        spoken: When each word is spoken: `label`, `start`, `end` (seconds); empty without words.
        averaged: Source steps that one cell stands for; 1 when every cell is exact.
    """

    source: str
    anchor: str
    solver: Solver
    words: tuple[str, ...]
    rows: int
    duration: float
    cells: pd.DataFrame
    plan: pd.DataFrame
    cost: float
    spoken: pd.DataFrame
    averaged: int

    @property
    def cost_domain(self) -> list[float]:
        """Lowest, middle and highest cost drawn."""
        low, high = float(self.cells["cost"].min()), float(self.cells["cost"].max())
        return [low, (low + high) / 2, max(high, low + 1e-6)]


def tabulate(
    alignment: Alignment, features: ClipFeatures, *, solver: Solver = RELAXED, max_cells: int = MAX_CELLS
) -> AlignmentTable:
    """Turn an alignment into rows.

    Args:
        alignment: Plan and cost, (source steps, anchor steps); cost is NaN where a step is invalid.
        features: The clip, for times and words.
        solver: How the plan was found, untranslated.
        max_cells: Most cost cells to make, about; beyond it neighbouring source steps are averaged, and in maps
            without words neighbouring anchor steps too.
    """
    source, anchor = features.modality(alignment.source), features.modality(alignment.target)
    words = features.words if alignment.target == "language" else ()
    exact = _Grid.of(source, anchor, cost=alignment.cost, weight=alignment.plan)
    reduction = max(1.0, alignment.cost.size / max_cells)
    # Words keep a row each; two time axes share the reduction.
    across = int(np.ceil(reduction if words else np.sqrt(reduction)))
    coarse = exact.averaged(across=across, down=1 if words else across)
    pairs = exact if (exact.weight > 0).sum(1).max(initial=0) <= 1 else coarse
    labels = tuple(_label(place, word) for place, word in enumerate(words, start=1))
    return AlignmentTable(
        source=name(alignment.source),
        anchor=name(alignment.target),
        solver=solver,
        words=labels,
        rows=alignment.cost.shape[1],
        duration=seconds(features),
        cells=coarse.rows(~np.isnan(coarse.cost), words),
        plan=pairs.rows(pairs.share > FAINTEST_SHARE * pairs.share.max(1, keepdims=True), words),
        cost=float(np.nansum(exact.weight * exact.cost)),
        spoken=pd.DataFrame({"label": labels, "start": anchor.start, "end": anchor.end} if words else {}),
        averaged=across,
    )


def seconds(features: ClipFeatures) -> float:
    """Return the end of every chart's time axis in seconds, the same for all, so that one playhead fits them."""
    ends = [float(features.modality(name).end.max(initial=0.0)) for name in Modality]
    return max(features.duration, *ends)


def moments(found: Alignment, features: ClipFeatures, word: int, *, most: int = 6) -> list[Moment]:
    """Choose frames that a plan aligned to a word, evenly spaced where there are many.

    Args:
        found: An alignment of the face to the words.
        features: The clip, for times and for where the face is.
        word: Index of the word.
        most: How many frames at most.
    """
    steps = np.nonzero(found.plan[:, word] > 0)[0]
    chosen = steps[np.unique(np.linspace(0, len(steps) - 1, min(most, len(steps))).round().astype(int))]
    tracks = {track.name: track.values for track in features.tracks}
    boxes = [tracks.get(name) for name in ("face x", "face y", "face width", "face height")]
    quarters, found_moments = quarters_of(features.notes), []
    for step in chosen.tolist():
        box = None if any(values is None for values in boxes) else tuple(float(values[step]) for values in boxes)
        known = box is not None and all(np.isfinite(box))
        second = float(features.video.start[step])
        found_moments.append(Moment(second=second, box=box if known else None, quarters=quarters))
    return found_moments


def windows(scores: Sequence[Window]) -> pd.DataFrame:
    """Return the scores of windows as the table that `app.charts.over_time.trend` draws."""
    return pd.DataFrame(
        {
            "start": [window.start for window in scores],
            "end": [window.end for window in scores],
            "score": [np.nan if window.score is None else window.score for window in scores],
            "used": [subset(window.used) or "–" for window in scores],
        }
    )


def contributions(prediction: Prediction, features: ClipFeatures, *, max_moments: int = MAX_MOMENTS) -> pd.DataFrame:
    """Return contributions as the table that `app.charts.scores.contribution_strip` draws.

    Long streams are summed over neighbouring steps, so that the total stays the same.
    """
    tables = []
    for modality in (each for each in DISPLAY_ORDER if each in prediction.used):
        stream, values = features.modality(modality), prediction.contributions[modality].astype(float)
        is_words = modality == "language"
        every = 1 if is_words else int(np.ceil(len(values) / max_moments))
        table = pd.DataFrame({"start": stream.start[::every], "end": _last(stream.end, every)})
        table["contribution"] = np.add.reduceat(values, np.arange(0, len(values), every))
        table["strength"] = table["contribution"] / (table["contribution"].abs().max() or 1.0)
        table["row"] = f"{name(modality)} {signed(values.sum())}"
        table["what"] = [word.text for word in features.words] if is_words else "-"
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _label(place: int, word: Word) -> str:
    """Return a numbered label, so that a repeated word has two rows."""
    return f"{place} {word.text[:LABEL_CHARACTERS]}"


@dataclass(frozen=True, kw_only=True)
class _Grid:
    """Matrices over (source steps, anchor steps) with the seconds of both sides."""

    start: Float[np.ndarray, " source"]
    end: Float[np.ndarray, " source"]
    anchor_start: Float[np.ndarray, " anchor"]
    anchor_end: Float[np.ndarray, " anchor"]
    cost: Float[np.ndarray, "source anchor"]
    weight: Float[np.ndarray, "source anchor"]

    @classmethod
    def of(cls, source: ModalityFeatures, anchor: ModalityFeatures, *, cost: np.ndarray, weight: np.ndarray) -> _Grid:
        return cls(
            start=source.start,
            end=source.end,
            anchor_start=anchor.start,
            anchor_end=anchor.end,
            cost=cost.astype(float),
            weight=weight.astype(float),
        )

    @property
    def share(self) -> Float[np.ndarray, "source anchor"]:
        """Weights as shares of their row's; zero in a row without any."""
        total = self.weight.sum(1, keepdims=True)
        return np.divide(self.weight, total, out=np.zeros_like(self.weight), where=total > 0)

    def averaged(self, *, across: int, down: int) -> _Grid:
        """Join blocks of `across` source by `down` anchor steps: mean of the known costs, sum of the weights."""
        known = ~np.isnan(self.cost)
        total, count = (
            _sums(part, across=across, down=down) for part in (np.where(known, self.cost, 0.0), known.astype(float))
        )
        return _Grid(
            start=self.start[::across],
            end=_last(self.end, across),
            anchor_start=self.anchor_start[::down],
            anchor_end=_last(self.anchor_end, down),
            cost=np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0),
            weight=_sums(self.weight, across=across, down=down),
        )

    def rows(self, where: Bool[np.ndarray, "source anchor"], words: tuple[Word, ...]) -> pd.DataFrame:
        """List the chosen cells; `words` are the anchor's, none for another anchor."""
        step, place = np.nonzero(where)
        rows = pd.DataFrame(
            {
                "start": self.start[step],
                "end": self.end[step],
                "anchor_start": self.anchor_start[place],
                "anchor_end": self.anchor_end[place],
                "cost": self.cost[step, place],
                "weight": self.weight[step, place],
                "share": self.share[step, place],
            }
        )
        if words:
            rows["label"] = [_label(index + 1, words[index]) for index in place]
            rows["word"] = [words[index].text for index in place]
        return rows


def _sums(matrix: np.ndarray, *, across: int, down: int) -> np.ndarray:
    """Sum over blocks of rows and columns; the last ones may be smaller."""
    summed = np.add.reduceat(matrix, np.arange(0, matrix.shape[0], across), axis=0)
    return np.add.reduceat(summed, np.arange(0, matrix.shape[1], down), axis=1)


def _last(values: np.ndarray, every: int) -> np.ndarray:
    """Last entry of each block of `every` entries."""
    return values[np.minimum(np.arange(every - 1, len(values) + every - 1, every), len(values) - 1)]
