"""What a person annotated, compared with what the model predicts for the same spans."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alignmamba.modality import Modality
from alignmamba.prediction import CLASSES, SCORE_LIMIT
from app.i18n.translate import _
from app.services.analysis import Analysis
from app.services.errors import PlainError

if TYPE_CHECKING:
    from alignmamba.evaluation.agreement import Agreement
    from alignmamba.prediction import SegmentScore
    from extractors.storage.annotations.tiers import Interval, Tier

MAX_SPANS = 500  # that are compared at once; the time of an alpha grows with their square
NUMBER = re.compile(r"[+-]?\d{1,3}(?:[.,]\d{1,6})?")
# Names of classes in the middle of their range of scores.
NAMED = dict(zip(CLASSES, (-SCORE_LIMIT / 2, 0.0, SCORE_LIMIT / 2), strict=True))


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One annotated span.

    Attributes:
        span: As annotated.
        truth: Score that its label stands for.
        found: What the model predicts; None where the span has nothing to predict from.
    """

    span: Interval
    truth: float
    found: SegmentScore | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A tier of truth and the predictions for its spans.

    Attributes:
        rows: Spans whose label is a score.
        left_out: Spans whose label is none, or that lie outside the clip.
        agreement: Over the rows with a prediction.
    """

    rows: tuple[Compared, ...]
    left_out: int
    agreement: Agreement


def score_of(label: str) -> float | None:
    """Return the score that a label stands for: a number in [-3, 3] or the name of a class; None for any other label.

    >>> score_of("+1.5"), score_of(" -2,25 "), score_of("Positive"), score_of("7"), score_of("so-so")
    (1.5, -2.25, 1.5, None, None)
    """
    text = label.strip().lower()
    if text in NAMED:
        return NAMED[text]
    if not NUMBER.fullmatch(text):
        return None
    score = float(text.replace(",", "."))
    return score if abs(score) <= SCORE_LIMIT else None


def compare(analysis: Analysis, tier: Tier, used: frozenset[Modality]) -> Comparison:
    """Predict the spans of a tier and compare.

    Args:
        analysis: Of the clip.
        tier: Labelled with scores in [-3, 3] or names of classes.
        used: Modalities to predict from.

    Raises:
        PlainError: If no label within the clip is a score, or there are too many.
    """
    from alignmamba.evaluation.agreement import agreement
    from alignmamba.evaluation.segments import score_segments

    known = [(each, score_of(each.text)) for each in tier.intervals if each.start < analysis.features.duration]
    chosen = [(each, truth) for each, truth in known if truth is not None]
    if len(chosen) > MAX_SPANS:
        raise PlainError(_("The tier has more than {limit} scores.").format(limit=MAX_SPANS))
    scores = score_segments(
        analysis.predictor, analysis.parts, [(each.start, each.end) for each, _truth in chosen], used
    )
    rows = tuple(
        Compared(span=each, truth=truth, found=found) for (each, truth), found in zip(chosen, scores, strict=True)
    )
    pairs = [(row.truth, row.found.score) for row in rows if row.found is not None]
    if not pairs:
        raise PlainError(
            _("No label of this tier is a score from -3 to +3, or negative, neutral or positive, within the clip.")
        )
    found = agreement([truth for truth, _score in pairs], [score for _truth, score in pairs])
    return Comparison(rows=rows, left_out=len(tier.intervals) - len(rows), agreement=found)
