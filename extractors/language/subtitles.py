"""Subtitles: SRT and WebVTT to words with times, and words to WebVTT.

Files come from users, so their size is bounded, and whatever cannot be read is refused with a message.
"""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from extractors.language.transcript import MAX_WORDS, Transcript, TranscriptError, clean_words, spread
from extractors.messages import Message
from extractors.schema import Word

MAX_CHARACTERS = 500_000  # timings and tags cost many times what the words do
CUE_CHARACTERS = 42  # in one written cue, about what a line of subtitles holds
CUE_PAUSE = 0.7  # seconds of silence that end a written cue

_CLOCK = r"(?:([0-9]{1,4}):)?([0-9]{1,2}):([0-9]{1,2})(?:[.,]([0-9]{1,3}))?"
_TIMING = re.compile(rf"\s*{_CLOCK}\s*-->\s*{_CLOCK}(?:\s.*)?$")
_TIMING_LIKE = re.compile(r"\s*[0-9:.,]+\s*-->")
_MOMENT = re.compile(rf"<{_CLOCK}>")  # a time within a WebVTT cue, from which the text after it is said
_TAG = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")  # <b>, <c.x>, <v Name>, and {\an8} as some SRT files have it
_HEADER = re.compile(r"WEBVTT(?:\s|$)")


@dataclass(frozen=True, kw_only=True)
class _Cue:
    start: float
    end: float
    text: str


def is_subtitles(text: str) -> bool:
    """Whether a text is meant as SRT or WebVTT, be it garbled, rather than as a plain transcript."""
    head = text[:2_000].lstrip("\ufeff \t\r\n")
    if _HEADER.match(head):
        return True
    first = [line for line in head.splitlines() if line.strip()][:2]  # SRT: a number, then a timing
    return any(_TIMING_LIKE.match(line) for line in first)


def parse(text: str, *, duration: float | None = None) -> Transcript:
    r"""Read SRT or WebVTT.

    >>> transcript = parse("WEBVTT\n\n00:01.000 --> 00:02.000\ngood film\n")
    >>> [(word.text, word.start, word.end) for word in transcript.words]
    [('good', 1.0, 1.5), ('film', 1.5, 2.0)]

    Times within a cue are kept; the words between two times share them by their numbers of characters.

    Args:
        text: The file's text. Tags, notes, styles and settings are dropped.
        duration: Seconds of the clip, to which all times are clamped; None where it is not known yet.

    Returns:
        Words in time order, with notes on where their times come from and on what was left out.

    Raises:
        TranscriptError: If the text is too long, a timing cannot be read, or no word is left.
    """
    if len(text) > MAX_CHARACTERS:
        values = {"count": f"{len(text):,}", "limit": f"{MAX_CHARACTERS:,}"}
        raise TranscriptError(Message("subtitles_too_long", values))
    cues = sorted(_cues(text), key=lambda cue: cue.start)
    if not cues:
        raise TranscriptError(Message("subtitles_untimed"))
    limit = float("inf") if duration is None else duration
    within = [cue for cue in cues if cue.start < limit]
    if not within:
        raise TranscriptError(Message("subtitles_after_end", {"limit": f"{limit:.1f}"}))
    words: list[Word] = []
    for cue in within:
        for start, end, said in _chunks(cue):
            texts = clean_words(html.unescape(_TAG.sub("", said)))
            if len(words) + len(texts) > MAX_WORDS:  # before they are given times
                raise TranscriptError(Message("subtitles_too_many_words", {"limit": f"{MAX_WORDS:,}"}))
            if texts:
                words += spread(texts, [(min(start, limit), min(end, limit))])
    if not words:
        raise TranscriptError(Message("subtitles_empty"))
    notes = [Message("times_from_subtitles")]
    if len(within) < len(cues):
        notes.append(Message("subtitles_left_out", {"count": len(cues) - len(within)}))
    return Transcript(words=_in_order(words), source="given", notes=tuple(notes))


def to_webvtt(words: Sequence[Word]) -> str:
    """Write WebVTT in which every word keeps its times, to the millisecond: `parse` gives them back.

    Args:
        words: In time order.
    """
    lines = ["WEBVTT", ""]
    for cue in _grouped(words):
        end = max(word.end for word in cue)
        lines += [f"{_clock(cue[0].start)} --> {_clock(end)}", _with_moments(cue), ""]
    return "\n".join(lines)


def _cues(text: str) -> Iterator[_Cue]:
    """Yield every timing with the lines below it, up to a blank one or the next timing."""
    timing: tuple[float, float] | None = None
    said: list[str] = []
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        if _TIMING_LIKE.match(line):
            if timing is not None:
                if said and said[-1].strip().isdecimal():  # the next cue's number, without a blank line before it
                    said.pop()
                yield _Cue(start=timing[0], end=timing[1], text="\n".join(said))
            timing, said = _read_timing(line, number), []
        elif timing is not None and line.strip():
            said.append(line)
        elif timing is not None:
            yield _Cue(start=timing[0], end=timing[1], text="\n".join(said))
            timing, said = None, []


def _read_timing(line: str, number: int) -> tuple[float, float]:
    found = _TIMING.match(line)
    if found is None:
        raise TranscriptError(Message("subtitles_line_unreadable", {"line": number}))
    start, end = _seconds(found.groups()[:4]), _seconds(found.groups()[4:])
    if end < start:
        message = Message("subtitles_line_reversed", {"line": number, "start": f"{start:g}", "end": f"{end:g}"})
        raise TranscriptError(message)
    return start, end


def _seconds(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, fraction = parts
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0) + float(f"0.{fraction or 0}")


def _chunks(cue: _Cue) -> Iterator[tuple[float, float, str]]:
    """Split a cue at the times within it: (start, end, text with tags)."""
    pieces = _MOMENT.split(cue.text)  # text, then hours, minutes, seconds, fraction and text of each moment
    moments = [cue.start]
    for index in range(1, len(pieces), 5):
        moments.append(min(max(_seconds(pieces[index : index + 4]), moments[-1]), cue.end))
    yield from zip(moments, [*moments[1:], cue.end], pieces[::5], strict=True)


def _in_order(words: Sequence[Word]) -> tuple[Word, ...]:
    """Let starts never fall where cues overlap."""
    ordered: list[Word] = []
    for word in words:
        start = max(word.start, ordered[-1].start) if ordered else word.start
        ordered.append(Word(text=word.text, start=start, end=max(word.end, start)))
    return tuple(ordered)


def _grouped(words: Sequence[Word]) -> Iterator[list[Word]]:
    """Split words into cues: at pauses, and where a line is full."""
    cue: list[Word] = []
    for word in words:
        length = sum(len(other.text) + 1 for other in cue) + len(word.text)
        if cue and (word.start - cue[-1].end > CUE_PAUSE or length > CUE_CHARACTERS):
            yield cue
            cue = []
        cue.append(word)
    if cue:
        yield cue


def _with_moments(cue: Sequence[Word]) -> str:
    """Write a cue's words, with a time before each but the first, and one after each that a pause follows."""
    text = html.escape(cue[0].text, quote=False)
    for before, word in itertools.pairwise(cue):
        pause = f"<{_clock(before.end)}>" if before.end < word.start else ""
        text += f"{pause} <{_clock(word.start)}>{html.escape(word.text, quote=False)}"
    return text


def _clock(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"
