"""Annotation files of one line an interval: Audacity's labels, RTTM, and WebVTT with scores."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from extractors.language.subtitles import clock
from extractors.language.transcript import printable
from extractors.storage.annotations.tiers import Interval, one_line


def to_audacity(intervals: Iterable[Interval]) -> str:
    r"""Write a label track as Audacity imports it: start, end and label, with tabs between them.

    >>> to_audacity([Interval(start=0.0, end=1.5, text="good day")])
    '0.000000\t1.500000\tgood day\n'
    """
    return "".join(f"{each.start:.6f}\t{each.end:.6f}\t{one_line(each.text)}\n" for each in intervals)


def to_rttm(turns: Iterable[Interval], *, file: str) -> str:
    r"""Write who speaks when as RTTM (NIST's Rich Transcription Time Marked).

    >>> to_rttm([Interval(start=0.5, end=2.0, text="Ann Lee")], file="my clip")
    'SPEAKER my_clip 1 0.500 1.500 <NA> <NA> Ann_Lee <NA> <NA>\n'

    Args:
        turns: Labelled with the speaker.
        file: Name of the recording; its fields hold no spaces.
    """
    spans = ((f"{each.start:.3f} {each.end - each.start:.3f}", _field(each.text)) for each in turns)
    return "".join(f"SPEAKER {_field(file)} 1 {span} <NA> <NA> {speaker} <NA> <NA>\n" for span, speaker in spans)


def to_scored_webvtt(cues: Sequence[tuple[Interval, str | None, str]]) -> str:
    """Write WebVTT whose cues begin with a score in brackets, which readers of captions take for a sound.

    Args:
        cues: Interval with the words, speaker (None where nobody is named), and score as text.
    """
    blocks = ["WEBVTT"]
    for each, speaker, score in cues:
        voice = "" if speaker is None else f"<v {_escaped(speaker)}>"
        blocks.append(f"{clock(each.start)} --> {clock(each.end)}\n{voice}[{_escaped(score)}] {_escaped(each.text)}")
    return "\n\n".join(blocks) + "\n"


def _escaped(text: str) -> str:
    return one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _field(text: str) -> str:
    """Return a text as one field: RTTM has no way to quote a space."""
    return re.sub(r"\s+", "_", printable(text).strip()) or "unknown"
