"""Sentences of a transcript: runs of words with their times."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sentencex

from extractors.schema import Turn, Word

LONG_PAUSE = 1.5  # seconds of silence that end a sentence, also where the transcript has no punctuation
MAX_SENTENCE_SECONDS = 30.0  # a longer one is cut between two words; it is an unpunctuated transcript, not a sentence


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """A run of words of one transcript.

    Attributes:
        first: Index of its first word.
        last: Index of its last word, which belongs to it.
        text: Its words.
        start: Seconds from the start of the clip to its first word.
        end: Seconds to the end of its last word.
        speaker: Who says it; None where nobody is named.
    """

    first: int
    last: int
    text: str
    start: float
    end: float
    speaker: str | None = None


def split(words: Sequence[Word], *, language: str = "en") -> tuple[Sentence, ...]:
    """Split words into sentences: by punctuation, where another one speaks, at long pauses, and where one is too long.

    >>> said = [("Dr.", 0.0), ("Smith", 0.4), ("left.", 0.8), ("Why?", 1.3)]
    >>> [sentence.text for sentence in split([Word(text=text, start=at, end=at + 0.3) for text, at in said])]
    ['Dr. Smith left.', 'Why?']

    Args:
        words: In time order.
        language: Two-letter code, whose abbreviations end no sentence.

    Returns:
        Sentences in order; every word belongs to exactly one.
    """
    ends = _punctuated(words, language) if words else set()
    return tuple(_sentence(words, first, last) for first, last in _runs(words, ends))


def turns(sentences: Sequence[Sentence]) -> tuple[Turn, ...]:
    """Return who speaks when: sentences of one speaker that follow each other are one turn."""
    found = []
    for speaker, group in itertools.groupby(sentences, key=lambda sentence: sentence.speaker):
        said = list(group)
        found.append(Turn(start=said[0].start, end=max(sentence.end for sentence in said), speaker=speaker))
    return tuple(found)


def _punctuated(words: Sequence[Word], language: str) -> set[int]:
    """Return the words that end a sentence by their punctuation."""
    # A line break would be a paragraph, and that the end of a sentence.
    texts = [" ".join(word.text.split()) for word in words]
    ends = list(itertools.accumulate(len(text) + 1 for text in texts))  # one past the space after each word
    found = sentencex.get_sentence_boundaries(language, " ".join(texts))
    return {bisect.bisect_left(ends, boundary["end_index"]) for boundary in found}


def _runs(words: Sequence[Word], ends: set[int]) -> Iterator[tuple[int, int]]:
    first = 0
    for place, word in enumerate(words):
        following = words[place + 1] if place + 1 < len(words) else None
        if (
            following is None
            or place in ends
            or following.speaker != word.speaker
            or following.start - word.end > LONG_PAUSE
            or following.end - words[first].start > MAX_SENTENCE_SECONDS
        ):
            yield first, place
            first = place + 1


def _sentence(words: Sequence[Word], first: int, last: int) -> Sentence:
    chosen = words[first : last + 1]
    return Sentence(
        first=first,
        last=last,
        text=" ".join(word.text for word in chosen),
        start=chosen[0].start,
        end=max(word.end for word in chosen),
        speaker=chosen[0].speaker,
    )
