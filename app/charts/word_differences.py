"""Two transcripts word by word: which words correspond, and what each of them added to its score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from app.i18n.translate import _
from extractors.schema import Word

MAX_DRAWN = 40  # rows of the chart
LABEL_CHARACTERS = 24

Contributions = Float[np.ndarray, " words"]


@dataclass(frozen=True, kw_only=True)
class WordPair:
    """A word of one transcript and its counterpart in the other; one of the two may be missing.

    Attributes:
        first: Word of the first.
        second: Word of the second.
        first_moved: What it adds to its score, in points; None where it is missing or was not used.
        second_moved: The same of the second.
    """

    first: Word | None
    second: Word | None
    first_moved: float | None
    second_moved: float | None

    @property
    def text(self) -> str:
        """The word, as in the first transcript where it is there."""
        word = self.first or self.second
        return word.text if word is not None else ""

    @property
    def difference(self) -> float | None:
        """What the second adds more than the first; None where there is nothing to compare."""
        if self.first_moved is None or self.second_moved is None:
            return None
        return self.second_moved - self.first_moved


@dataclass(frozen=True, kw_only=True)
class Side:
    """A transcript and what its words add to a score.

    Attributes:
        words: In time order.
        moved: Contribution of each word, in points of the score; None where the words were not used.
    """

    words: Sequence[Word]
    moved: Contributions | None

    def contribution(self, place: int) -> float | None:
        """Return what a word adds; None where the words were not used."""
        return None if self.moved is None else float(self.moved[place])


def matched(first: Side, second: Side) -> list[WordPair]:
    """Pair the words of two transcripts by their content, in order; case and punctuation do not count.

    As many words as possible get a counterpart: their longest common subsequence.
    """
    left, right = ([_content(word) for word in side.words] for side in (first, second))
    pairs, row, column = [], len(left), len(right)
    longest = _longest(left, right)
    # From the end: a common word belongs to the subsequence where leaving it out would shorten that.
    while row or column:
        here = longest[row, column]
        if row and column and here > max(longest[row - 1, column], longest[row, column - 1]):
            row, column = row - 1, column - 1
            pairs.append(_pair(first, second, row, column))
        elif column and longest[row, column - 1] == here:
            column -= 1
            pairs.append(_pair(first, second, None, column))
        else:
            row -= 1
            pairs.append(_pair(first, second, row, None))
    return pairs[::-1]


def same_words(first: Side, second: Side) -> list[WordPair]:
    """Pair the words of one transcript that was read twice."""
    return [_pair(first, second, place, place) for place in range(len(first.words))]


def strongest(pairs: Sequence[WordPair], *, most: int = MAX_DRAWN) -> list[WordPair]:
    """Return the pairs that differ most, in their order: what a word without a counterpart adds counts in full."""

    def weight(pair: WordPair) -> float:
        return abs((pair.second_moved or 0.0) - (pair.first_moved or 0.0))

    known = [place for place, pair in enumerate(pairs) if (pair.first_moved, pair.second_moved) != (None, None)]
    chosen = sorted(known, key=lambda place: -weight(pairs[place]))[:most]
    return [pairs[place] for place in sorted(chosen)]


def drawn(pairs: Sequence[WordPair]) -> pd.DataFrame:
    """Return pairs as the table that `app.charts.distributions.pairs` draws."""
    return pd.DataFrame(
        {
            # The number keeps two rows of one word apart.
            "row": [f"{place} {pair.text[:LABEL_CHARACTERS]}" for place, pair in enumerate(pairs, start=1)],
            "label": [pair.text for pair in pairs],
            "first": pd.Series([pair.first_moved for pair in pairs], dtype=float),
            "second": pd.Series([pair.second_moved for pair in pairs], dtype=float),
        }
    )


def summary(pairs: Sequence[WordPair]) -> str:
    """Say how many words have a counterpart."""
    both = sum(pair.first is not None and pair.second is not None for pair in pairs)
    return _("Words with a counterpart: {both}; only in the first clip: {first}; only in the second: {second}.").format(
        both=both, first=sum(pair.second is None for pair in pairs), second=sum(pair.first is None for pair in pairs)
    )


def _longest(left: Sequence[str], right: Sequence[str]) -> Int[np.ndarray, "rows columns"]:
    """Length of the longest common subsequence of the first words of each, for every number of them."""
    codes = {text: code for code, text in enumerate({*left, *right})}
    across = np.array([codes[text] for text in right], dtype=np.int32)
    longest = np.zeros((len(left) + 1, len(right) + 1), np.int16)
    for row, text in enumerate(left, start=1):
        before = longest[row - 1]
        extended = np.maximum(before[1:], before[:-1] + (across == codes[text]))
        np.maximum.accumulate(extended, out=longest[row, 1:])
    return longest


def _pair(first: Side, second: Side, left: int | None, right: int | None) -> WordPair:
    return WordPair(
        first=None if left is None else first.words[left],
        second=None if right is None else second.words[right],
        first_moved=None if left is None else first.contribution(left),
        second_moved=None if right is None else second.contribution(right),
    )


def _content(word: Word) -> str:
    """Return what of a word is compared; a word of punctuation alone stays as it is."""
    return "".join(letter for letter in word.text.casefold() if letter.isalnum()) or word.text
