"""The sentences of a clip as rows: when, who, what, the score from each modality, and what moved it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from alignmamba.modality import Modality
from app.i18n.wording import DISPLAY_ORDER, name
from extractors.schema import Word

if TYPE_CHECKING:
    from alignmamba.prediction import SegmentScore
    from extractors.language.sentences import Sentence

MOVING_WORDS = 2  # of a sentence that are named as what moved its score
FAINTEST = 0.0005  # points of the score; what moved it less is not named: it would read as 0.000

Columns = Mapping[frozenset[Modality], "Sequence[SegmentScore | None]"]
"""Per subset the score of each sentence; the first one is the subset on screen."""


@dataclass(frozen=True, kw_only=True)
class SentenceRow:
    """One sentence.

    Attributes:
        sentence: Its words and times.
        scores: Per subset; None where the sentence has nothing of it.
        words: Words that moved the score most, with their contributions in points of the score.
        moved: What each modality of the first subset adds to the score.
    """

    sentence: Sentence
    scores: dict[frozenset[Modality], SegmentScore | None]
    words: tuple[tuple[str, float], ...]
    moved: dict[Modality, float]

    @property
    def first(self) -> SegmentScore | None:
        """The score from the subset on screen."""
        return next(iter(self.scores.values()), None)


def rows(sentences: Sequence[Sentence], columns: Columns, words: Sequence[Word]) -> list[SentenceRow]:
    """Make a row of each sentence.

    Args:
        sentences: Of a clip.
        columns: Scores of each sentence.
        words: All words of the clip.
    """
    return [
        _row(sentence, {subset: scores[place] for subset, scores in columns.items()}, words)
        for place, sentence in enumerate(sentences)
    ]


def _row(
    sentence: Sentence, scores: dict[frozenset[Modality], SegmentScore | None], words: Sequence[Word]
) -> SentenceRow:
    first = next(iter(scores.values()), None)
    found = {} if first is None else first.contributions
    moved = {modality: float(found[modality].sum()) for modality in DISPLAY_ORDER if modality in found}
    strongest: list[tuple[str, float]] = []
    own = found.get(Modality.LANGUAGE)
    if own is not None and len(own) == sentence.last - sentence.first + 1:
        for place in np.argsort(-np.abs(own), kind="stable")[:MOVING_WORDS].tolist():
            if abs(own[place]) >= FAINTEST:
                strongest.append((words[sentence.first + place].text, float(own[place])))
    return SentenceRow(sentence=sentence, scores=scores, words=tuple(strongest), moved=moved)


def what_moved(row: SentenceRow) -> str:
    """Say what moved a sentence's score: its strongest words, then voice and face as a whole."""
    parts = [f"{_arrow(value)} {word} {value:+.3f}" for word, value in row.words]
    parts += [
        f"{_arrow(value)} {name(modality)} {value:+.3f}"
        for modality, value in row.moved.items()
        if modality != Modality.LANGUAGE and abs(value) >= FAINTEST
    ]
    return ", ".join(parts)


def _arrow(value: float) -> str:
    return "▲" if value > 0 else "▼"
