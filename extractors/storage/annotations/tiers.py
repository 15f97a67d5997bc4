"""Tiers: named rows of labelled intervals, what annotation tools share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from extractors.language.transcript import printable
from extractors.messages import MessageError

SHORTEST = 0.001  # seconds of an interval; annotation files count milliseconds


class AnnotationError(MessageError):
    """An annotation file cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A labelled span of time.

    Attributes:
        start: Seconds from the start of the clip.
        end: Likewise.
        text: Its label.
    """

    start: float
    end: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Tier:
    """A row of intervals.

    Attributes:
        name: Unique among the tiers of a file.
        intervals: In time order.
    """

    name: str
    intervals: tuple[Interval, ...]


def apart(intervals: Iterable[Interval], *, duration: float) -> Iterator[Interval]:
    r"""Yield intervals as tools take them: on one line, in time order, none over another, none without a length.

    >>> over = [Interval(start=0.0, end=2.0, text="a"), Interval(start=1.5, end=3.0, text="b\nc")]
    >>> [(each.start, each.end, each.text) for each in apart(over, duration=2.5)]
    [(0.0, 1.5, 'a'), (1.5, 2.5, 'b c')]

    Args:
        intervals: Any; where one begins before the one before has ended, that one is shortened.
        duration: Seconds, to which times are clamped.
    """
    ordered = sorted(intervals, key=lambda each: (each.start, each.end))
    for place, each in enumerate(ordered):
        following = ordered[place + 1].start if place + 1 < len(ordered) else duration
        start, end = (round(max(0.0, min(at, duration)), 3) for at in (each.start, min(each.end, following)))
        if end - start >= SHORTEST / 2:
            yield Interval(start=start, end=end, text=one_line(each.text))


def one_line(text: str) -> str:
    """Return a label without line breaks and without characters that no file should hold."""
    return " ".join(printable(text).split())
