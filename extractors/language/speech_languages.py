"""Languages of speech: where a clip switches from one to another.

Whisper detects one language, by the first 30 s, and leaves out much of what is said in another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from extractors.media.audio import SAMPLE_RATE
from extractors.schema import Word

ONE_LANGUAGE = 0.9  # probability from which the first window is taken to hold no second language
SURE = 0.9  # probability from which a stretch is believed to be in another language than the rest
WINDOW_SECONDS = 30.0  # that Whisper hears at once
CHUNK_SECONDS = 1.0  # of speech, in which a language can be identified; shorter stretches join a neighbour as near
JOINED_SECONDS = 2.0  # of silence that a run may hold
UNHEARD_SECONDS = 1.0  # of speech without a word that may be in another language
HEARD = 0.25  # of a stretch's time that words must take up

Detect = Callable[[Float32[np.ndarray, " samples"]], tuple[str, float]]  # language and probability


@dataclass(frozen=True, kw_only=True)
class Run:
    """A stretch of speech in one language.

    Attributes:
        start: Seconds from the first sample.
        end: Likewise.
        language: As Whisper names it, "en" or "de".
    """

    start: float
    end: float
    language: str


def doubtful(
    voiced: Sequence[tuple[float, float]], words: Sequence[Word], *, probability: float
) -> list[tuple[float, float]]:
    """Return the stretches of speech that may be in another language than the one that was detected.

    Args:
        voiced: (start, end) of the segments with a voice in seconds, in time order.
        words: What was recognised, in the same time.
        probability: Of the language that was detected in the first window.
    """
    found: list[tuple[float, float]] = []
    spoken = 0.0
    for start, end in voiced:
        heard = sum(max(0.0, min(end, word.end) - max(start, word.start)) for word in words)
        unheard = end - start >= UNHEARD_SECONDS and heard < HEARD * (end - start)
        if unheard or (probability < ONE_LANGUAGE and spoken < WINDOW_SECONDS):
            found.append((start, end))
        spoken += end - start
    return found


def runs(
    samples: Float32[np.ndarray, " samples"], stretches: Sequence[tuple[float, float]], *, usual: str, detect: Detect
) -> list[Run]:
    """Tell the language of stretches of speech, each by itself.

    Args:
        samples: Mono at `SAMPLE_RATE`.
        stretches: (start, end) in seconds, in time order.
        usual: Language of a stretch that is not certain to be in another.
        detect: Whisper's detection.

    Returns:
        Neighbours in one language are one run.
    """
    found: list[Run] = []
    for start, end in _chunks(stretches):
        language, probability = detect(samples[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)])
        language = language if probability >= SURE else usual
        if found and found[-1].language == language and found[-1].end + JOINED_SECONDS > start:
            found[-1] = Run(start=found[-1].start, end=end, language=language)
        else:
            found.append(Run(start=start, end=end, language=language))
    return found


def _chunks(stretches: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Join stretches that are too short to tell a language in with the nearer neighbour."""
    chunks = list(stretches)
    index = 0
    while index < len(chunks):
        start, end = chunks[index]
        gaps = [
            (start - chunks[index - 1][1] if index else np.inf, index - 1),
            (chunks[index + 1][0] - end if index + 1 < len(chunks) else np.inf, index),
        ]
        gap, first = min(gaps)
        if end - start >= CHUNK_SECONDS or gap > CHUNK_SECONDS:
            index += 1
            continue
        chunks[first : first + 2] = [(chunks[first][0], chunks[first + 1][1])]
        index = first
    return chunks
