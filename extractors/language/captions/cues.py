"""Cues: the captions of a file with their times, before anything is known of their words."""

from __future__ import annotations

from dataclasses import dataclass

from extractors.messages import Message

SLOWEST_SPEECH = 5.0  # characters per second: a cue without an end lasts no longer than its text needs at this rate


@dataclass(frozen=True, kw_only=True)
class Cue:
    """A caption as its file has it.

    Attributes:
        start: Seconds.
        end: Seconds, at least `start`.
        text: With WebVTT's tags and times within.
        speaker: As the format names one beside the text; None where it does not.
    """

    start: float
    end: float
    text: str
    speaker: str | None = None


@dataclass(frozen=True, kw_only=True)
class Captions:
    """What was read of a file.

    Attributes:
        cues: In the order of the file.
        unplaced: Why each cue that has no usable time could not be placed, in the order of the file.
        notes: For the user, on what was assumed.
    """

    cues: tuple[Cue, ...]
    unplaced: tuple[Message, ...] = ()
    notes: tuple[Message, ...] = ()


def slowest(text: str) -> float:
    """Return the longest time in seconds that a cue without an end is given for its text."""
    return max(1.0, len(text) / SLOWEST_SPEECH)
