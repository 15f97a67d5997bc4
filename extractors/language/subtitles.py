"""Subtitles: captions of ten formats to words with times, and words to WebVTT.

Files come from users, so their size is bounded, and whatever cannot be read is refused or noted with a message.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from extractors.language.captions import formats, markup
from extractors.language.captions.cues import Captions, Cue, slowest
from extractors.language.text_bytes import decode
from extractors.language.transcript import MAX_WORDS, Transcript, TranscriptError, spread
from extractors.media.captions import Caption
from extractors.messages import Message, Value
from extractors.schema import Word

__all__ = ["MAX_CHARACTERS", "clock", "decode", "is_subtitles", "of_track", "parse", "to_webvtt"]

MAX_CHARACTERS = 500_000  # timings and tags cost many times what the words do
MAX_TAGS = 8 * MAX_WORDS  # of a cue, each of which costs what a word does; a word has a time, a colour and their ends
MAX_LINES = 20 * MAX_WORDS  # of a file; a cue of one word has four, and line ends may be doubled
CUE_CHARACTERS = 42  # in one written cue, about what a line of subtitles holds
CUE_PAUSE = 0.7  # seconds of silence that end a written cue


def is_subtitles(text: str) -> bool:
    """Whether a text is meant as captions, be it garbled or of a format that is not read, and no plain transcript."""
    return formats.format_name(text) is not None


def parse(text: str, *, duration: float | None = None, frame_rate: float | None = None) -> Transcript:
    r"""Read captions: WebVTT, SRT, SBV, LRC, SubStation Alpha, MicroDVD, MPL2, TMPlayer, SAMI, or TTML.

    >>> transcript = parse("WEBVTT\n\n00:01.000 --> 00:02.000\n<v Ann>good film\n")
    >>> [(word.text, word.start, word.end, word.speaker) for word in transcript.words]
    [('good', 1.0, 1.5, 'Ann'), ('film', 1.5, 2.0, 'Ann')]

    Times within a cue are kept; the words between two times share them by their numbers of characters. Names of
    speakers are no words; descriptions of sounds are left out.

    Args:
        text: The file's text.
        duration: Seconds of the clip, to which all times are clamped; None where it is not known yet.
        frame_rate: Frames per second of the clip, for formats that count frames; None where it is not known.

    Returns:
        Words in time order, with notes on where their times come from and on what was left out.

    Raises:
        TranscriptError: If the text is too long, its format is not read, no cue can be placed, or no word is left.
    """
    if len(text) > MAX_CHARACTERS:
        lengths = {"count": f"{len(text):,}", "limit": f"{MAX_CHARACTERS:,}"}
        raise TranscriptError(Message("subtitles_too_long", lengths))
    if text.count("\n") > MAX_LINES:
        raise _too_many()
    found = formats.read(text, formats.format_name(text) or "SRT", frame_rate=frame_rate)
    return transcript(found, duration=duration)


def transcript(found: Captions, *, duration: float | None = None) -> Transcript:
    """Give the words of captions their times.

    Args:
        found: What was read.
        duration: As in `parse`.

    Raises:
        TranscriptError: If no cue can be placed, or there are too many words, or none.
    """
    if not found.cues:
        raise TranscriptError(found.unplaced[-1] if found.unplaced else Message("subtitles_untimed"))
    if any(cue.text.count("\n") > MAX_WORDS or cue.text.count("<") > MAX_TAGS for cue in found.cues):
        raise _too_many()
    every = markup.unrolled(sorted(dict.fromkeys(found.cues), key=lambda cue: cue.start))
    limit = float("inf") if duration is None else duration
    within = [cue for cue in every if cue.start < limit]
    if not within:
        raise TranscriptError(Message("subtitles_after_end", {"limit": f"{limit:.1f}"}))
    words = _words(within, limit)
    if not words:
        raise TranscriptError(Message("subtitles_empty"))
    notes = [Message("times_from_subtitles"), *found.notes]
    if len(within) < len(every):
        notes.append(Message("subtitles_left_out", {"count": len(every) - len(within)}))
    if found.unplaced:
        values: dict[str, Value] = {"count": len(found.unplaced), "line": found.unplaced[0].values["line"]}
        notes.append(Message("subtitles_unplaced", values))
    if sounds := sum(map(markup.is_descriptive, within)):
        notes.append(Message("subtitles_sounds_left_out", {"count": sounds}))
    return Transcript(words=_in_order(words), source="given", notes=tuple(notes))


def of_track(captions: Sequence[Caption], *, duration: float) -> Transcript:
    """Give the words of a file's own captions their times.

    Args:
        captions: Of one track; one without an end lasts to the next, or as long as its text takes.
        duration: Seconds of the clip.

    Raises:
        TranscriptError: As `parse`.
    """
    if sum(len(caption.text) for caption in captions) > MAX_CHARACTERS:
        lengths = {"count": f"{sum(len(caption.text) for caption in captions):,}", "limit": f"{MAX_CHARACTERS:,}"}
        raise TranscriptError(Message("subtitles_too_long", lengths))
    ordered = sorted(captions, key=lambda caption: caption.start)
    cues = []
    for caption, following in zip(ordered, [*(each.start for each in ordered[1:]), float("inf")], strict=True):
        end = caption.end
        if end is None:
            end = min(following, caption.start + slowest(caption.text))
        if end >= 0:
            start = max(caption.start, 0.0)
            cues.append(Cue(start=start, end=max(start, end), text=caption.text, speaker=caption.speaker))
    if not cues:
        raise TranscriptError(Message("subtitles_empty"))
    return transcript(Captions(cues=tuple(cues)), duration=duration)


def _too_many() -> TranscriptError:
    return TranscriptError(Message("subtitles_too_many_words", {"limit": f"{MAX_WORDS:,}"}))


def _words(within: Sequence[Cue], limit: float) -> list[Word]:
    """Give the words of cues their times, up to the end of the clip."""
    names = markup.speaker_names(within)
    words: list[Word] = []
    for cue in within:
        for part in markup.said(cue, names):
            if len(words) + len(part.words) > MAX_WORDS:  # before they are given times
                raise _too_many()
            placed = spread(part.words, [(min(part.start, limit), min(part.end, limit))])
            words += [replace(word, speaker=who) for word, who in zip(placed, part.speakers, strict=True)]
    return words


def to_webvtt(words: Sequence[Word]) -> str:
    """Write WebVTT in which every word keeps its times, to the millisecond: `parse` gives them back.

    Args:
        words: In time order.
    """
    lines = ["WEBVTT", ""]
    for cue in _grouped(words):
        end = max(word.end for word in cue)
        lines += [f"{clock(cue[0].start)} --> {clock(end)}", _with_moments(cue), ""]
    return "\n".join(lines)


def _in_order(words: Sequence[Word]) -> tuple[Word, ...]:
    """Let starts never fall where cues overlap."""
    ordered: list[Word] = []
    for word in words:
        start = max(word.start, ordered[-1].start) if ordered else word.start
        ordered.append(replace(word, start=start, end=max(word.end, start)))
    return tuple(ordered)


def _grouped(words: Sequence[Word]) -> Iterator[list[Word]]:
    """Split words into cues: at pauses, where another speaks, and where a line is full."""
    cue: list[Word] = []
    for word in words:
        length = sum(len(other.text) + 1 for other in cue) + len(word.text)
        full = length > CUE_CHARACTERS
        if cue and (word.start - cue[-1].end > CUE_PAUSE or word.speaker != cue[-1].speaker or full):
            yield cue
            cue = []
        cue.append(word)
    if cue:
        yield cue


def _with_moments(cue: Sequence[Word]) -> str:
    """Write a cue's words, with a time before each but the first, and one after each that a pause follows."""
    text = "" if cue[0].speaker is None else f"<v {html.escape(cue[0].speaker, quote=False)}>"
    text += markup.literal(cue[0].text, first=True)
    for before, word in itertools.pairwise(cue):
        pause = f"<{clock(before.end)}>" if before.end < word.start else ""
        text += f"{pause} <{clock(word.start)}>{markup.literal(word.text, first=False)}"
    return text


def clock(seconds: float) -> str:
    """Return a time as WebVTT writes it."""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"
