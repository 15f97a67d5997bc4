"""Turns: who speaks when, from the embeddings of windows of speech."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int

from extractors.language.speakers import voices
from extractors.media.audio import SAMPLE_RATE
from extractors.schema import Turn

HOP_SECONDS = 0.75  # between windows
MAX_WINDOWS = 2400  # half an hour of speech; of more, windows lie further apart
MAX_SPEAKERS = 8  # told apart; what further voices say goes to the nearest of them, or is not told apart
DIFFERENT = 0.77  # mean cosine distance of two groups of windows from which they are two voices
LEAST_SECONDS = 2.0  # of speech that a voice needs to be a speaker
UNSURE = 0.1  # difference of the similarities to the two nearest voices below which a moment is not told apart
STEP_SECONDS = 0.1  # in which speakers may change
SHORTEST_SECONDS = 0.4  # of a turn; a shorter one goes to its neighbour
MAY_DIFFER = 0.72  # distance as of `DIFFERENT`, below which every second window tells that there is one voice

# All of these by `python -m benchmarks.speech.speakers`, on the people of the split "valid".

Span = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Speakers:
    """Who speaks when.

    Attributes:
        turns: In time order, over all speech; none where fewer than two speakers are told apart.
        nearest: Mean cosine distance of the two voices that are most alike; None without two.
    """

    turns: tuple[Turn, ...] = ()
    nearest: float | None = None


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Windows of speech and their embeddings.

    Attributes:
        spans: (start, end) in seconds from the start of the clip.
        vectors: One of length 1 per window.
    """

    spans: tuple[Span, ...]
    vectors: Float32[np.ndarray, "windows dim"]


def find(samples: Float32[np.ndarray, " samples"], segments: Sequence[Span], *, start: float = 0.0) -> Speakers:
    """Find out who speaks when.

    Args:
        samples: Mono at `SAMPLE_RATE`.
        segments: Speech, (start, end) in seconds from the start of the clip, in time order.
        start: Seconds from the start of the clip to the first sample.

    Raises:
        AssetError: If the model file cannot be had.
    """
    spans = window_spans(segments)
    if sum(end - begin for begin, end in segments) < 2 * LEAST_SECONDS or len(spans) < 2:
        return Speakers()
    cut = [samples[round((begin - start) * SAMPLE_RATE) : round((end - start) * SAMPLE_RATE)] for begin, end in spans]
    heard = [(span, part) for span, part in zip(spans, cut, strict=True) if len(part)]
    parts = [part for _, part in heard]
    some = voices.embed(parts[::2])
    if farthest(some) < MAY_DIFFER:  # most clips have one speaker, and need no more
        return Speakers()
    vectors = np.empty((len(parts), some.shape[1]), np.float32)
    vectors[::2], vectors[1::2] = some, voices.embed(parts[1::2])
    return from_windows(Windows(spans=tuple(span for span, _ in heard), vectors=vectors), segments)


def farthest(vectors: Float32[np.ndarray, "windows dim"]) -> float:
    """Return the mean cosine distance of the two groups of windows that are joined last; 0 for one window.

    >>> float(farthest(np.eye(2, dtype=np.float32)))
    1.0
    """
    from scipy.cluster.hierarchy import linkage

    return float(linkage(vectors, "average", metric="cosine")[-1, 2]) if len(vectors) > 1 else 0.0


def window_spans(segments: Sequence[Span]) -> list[Span]:
    """Return windows over speech: within each segment one after the other, the last one up to its end.

    >>> window_spans([(0.0, 1.0), (2.0, 4.5)])
    [(0.0, 1.0), (2.0, 3.5), (2.5, 4.0), (3.0, 4.5)]
    """
    speech = sum(end - begin for begin, end in segments)
    hop = max(HOP_SECONDS, speech / max(1, MAX_WINDOWS - len(segments)))
    spans: list[Span] = []
    for begin, end in segments:
        free = end - begin - voices.WINDOW_SECONDS
        count = 1 + max(0, int(np.ceil(free / hop)))
        firsts = begin + np.linspace(0, max(0.0, free), count)
        spans += [(float(first), float(min(first + voices.WINDOW_SECONDS, end))) for first in firsts]
    return spans


def from_windows(
    windows: Windows, segments: Sequence[Span], *, different: float = DIFFERENT, unsure: float = UNSURE
) -> Speakers:
    """Group windows by voice, and cut the speech into turns.

    Args:
        windows: Over the speech.
        segments: The speech, as in `find`.
        different: In place of `DIFFERENT`.
        unsure: In place of `UNSURE`.
    """
    groups = _groups(windows, segments, different)
    if groups.max(initial=-1) < 1:
        return Speakers()
    centres = np.stack([_centre(windows.vectors[groups == each]) for each in range(groups.max() + 1)])
    found: list[Turn] = []
    for segment in segments:
        found += _cut(segment, windows, centres, unsure)
    named = _named(found)
    return Speakers(turns=named, nearest=_nearest(windows.vectors, groups) if named else None)


def _groups(windows: Windows, segments: Sequence[Span], different: float) -> Int[np.ndarray, " windows"]:
    """Return the voice of each window, the largest first; -1 where a voice has too little speech."""
    from scipy.cluster.hierarchy import fcluster, linkage

    labels = fcluster(linkage(windows.vectors, "average", metric="cosine"), different, "distance")
    share = sum(end - begin for begin, end in segments) / len(windows.spans)  # seconds of speech that a window is for
    numbers, counts = np.unique(labels, return_counts=True)
    order = numbers[np.argsort(-counts, kind="stable")]
    large = [number for number in order if counts[numbers == number][0] * share >= LEAST_SECONDS][:MAX_SPEAKERS]
    places = {number: place for place, number in enumerate(large)}
    return np.array([places.get(label, -1) for label in labels], int)


def _nearest(vectors: Float32[np.ndarray, "windows dim"], groups: Int[np.ndarray, " windows"]) -> float:
    """Return the mean distance of windows of the two voices that are most alike."""
    means = [vectors[groups == each].mean(axis=0) for each in range(groups.max() + 1)]
    return min(1 - float(one @ other) for one, other in itertools.combinations(means, 2))


def _centre(vectors: Float32[np.ndarray, "windows dim"]) -> Float32[np.ndarray, " dim"]:
    mean: np.ndarray = vectors.mean(axis=0)
    return mean / max(float(np.linalg.norm(mean)), voices.LEAST_LENGTH)


def _cut(segment: Span, windows: Windows, centres: Float32[np.ndarray, "voices dim"], unsure: float) -> list[Turn]:
    """Cut a segment where its nearest voice changes; windows count the more for a moment the nearer it is."""
    begin, end = segment
    inside = [place for place, span in enumerate(windows.spans) if begin <= span[0] and span[1] <= end]
    middles = np.array([sum(windows.spans[place]) / 2 for place in inside])
    alike = windows.vectors[inside] @ centres.T  # (windows, voices)
    steps = max(1, round((end - begin) / STEP_SECONDS))
    edges = np.linspace(begin, end, steps + 1)
    moments = (edges[1:] + edges[:-1]) / 2
    scores = _at(moments, middles, alike)
    ordered = np.sort(scores, axis=1)
    labels = np.where(ordered[:, -1] - ordered[:, -2] < unsure, -1, scores.argmax(axis=1))
    labels = _without_short(labels, SHORTEST_SECONDS / ((end - begin) / steps))
    changes = np.flatnonzero(np.diff(labels)) + 1
    firsts, lasts = [0, *changes.tolist()], [*changes.tolist(), steps]
    return [
        Turn(
            start=float(edges[first]), end=float(edges[last]), speaker=None if labels[first] < 0 else str(labels[first])
        )
        for first, last in zip(firsts, lasts, strict=True)
    ]


def _at(
    moments: Float[np.ndarray, " steps"],
    middles: Float[np.ndarray, " windows"],
    alike: Float32[np.ndarray, "windows voices"],
) -> Float[np.ndarray, "steps voices"]:
    """Interpolate similarities between the middles of windows."""
    return np.stack([np.interp(moments, middles, column) for column in alike.T], axis=1)


def _without_short(labels: Int[np.ndarray, " steps"], least: float) -> Int[np.ndarray, " steps"]:
    """Give runs shorter than `least` steps to the neighbour that is longer, the shortest first."""
    labels = labels.copy()
    while True:
        changes = np.flatnonzero(np.diff(labels)) + 1
        firsts, lasts = np.append(0, changes), np.append(changes, len(labels))
        lengths = lasts - firsts
        shortest = int(lengths.argmin())
        if len(lengths) == 1 or lengths[shortest] >= least:
            return labels
        around = [place for place in (shortest - 1, shortest + 1) if 0 <= place < len(lengths)]
        longer = max(around, key=lambda place: lengths[place])
        labels[firsts[shortest] : lasts[shortest]] = labels[firsts[longer]]


def _named(found: Sequence[Turn]) -> tuple[Turn, ...]:
    """Name speakers by the order in which they begin; none are left where all but one have no turn."""
    names: dict[str, str] = {}
    for turn in found:
        if turn.speaker is not None:
            names.setdefault(turn.speaker, f"speaker_{len(names) + 1}")
    if len(names) < 2:
        return ()
    return tuple(
        Turn(start=turn.start, end=turn.end, speaker=None if turn.speaker is None else names[turn.speaker])
        for turn in found
    )
