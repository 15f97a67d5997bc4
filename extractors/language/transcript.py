"""Transcripts: words with their times, typed, corrected, or recognised (`extractors.language.asr`)."""

from __future__ import annotations

import bisect
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Any

import numpy as np
from jaxtyping import Float32

from extractors.audio import voice_activity
from extractors.messages import Message, MessageError
from extractors.schema import TranscriptSource, Word

MAX_WORDS = 4_000  # 15 minutes of fast speech
MAX_CHARACTERS = 40_000
FASTEST_SPEECH = 40.0  # characters per second
USUAL_SPEECH = 15.0  # characters per second
MAX_MARKS = 30  # on one letter, as in Unicode's stream-safe format (UAX 15); languages need four or so
_VOICE = re.compile(r"</?v(?:[.\s/][^<>]*)?>|</?v(?![^\s./<])", re.IGNORECASE)  # a tag, or one that is cut off


class TranscriptError(MessageError):
    """A typed transcript cannot be used."""


@dataclass(frozen=True, kw_only=True)
class Transcript:
    """Words in time order.

    >>> transcript = Transcript(words=(Word(text="good", start=0.0, end=0.5),), source="given")
    >>> Transcript.from_dict(transcript.to_dict()) == transcript
    True

    Attributes:
        words: With times in seconds from the start of the clip.
        source: Where the words come from.
        notes: For the user, about how it was made.
    """

    words: tuple[Word, ...]
    source: TranscriptSource
    notes: tuple[Message, ...] = ()

    @property
    def text(self) -> str:
        """All words, separated by spaces."""
        return " ".join(word.text for word in self.words)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        words = [word.to_list() for word in self.words]
        return {"words": words, "source": self.source, "notes": [note.to_dict() for note in self.notes]}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Transcript:
        """Inverse of `to_dict`."""
        words = tuple(map(Word.from_list, plain["words"]))
        return cls(words=words, source=plain["source"], notes=tuple(map(Message.from_dict, plain["notes"])))


def typed(text: str, samples: Float32[np.ndarray, " samples"], *, start: float = 0.0, duration: float) -> Transcript:
    """Give a typed transcript's words times: they share the voiced segments by their numbers of characters.

    Args:
        text: What the user typed.
        samples: The clip's audio, mono at `extractors.media.audio.SAMPLE_RATE`; empty without audio.
        start: Seconds from the start of the clip to the first sample.
        duration: Seconds of the clip, which the words share where there is no voice.

    Returns:
        The words, with a note on where their times come from.

    Raises:
        TranscriptError: If the text is too long or holds no word.
    """
    texts = split_words(text)
    segments = voice_activity.segments(samples, start=start)
    if sum(map(len, texts)) <= FASTEST_SPEECH * sum(end - begin for begin, end in segments):
        note = Message("times_from_voice")
    else:
        segments = [(0.0, duration)]
        note = Message("times_from_clip")
    return Transcript(words=spread(texts, segments), source="given", notes=(note,))


def clamped(transcript: Transcript, *, duration: float) -> Transcript:
    """Check a transcript made elsewhere and fit its times to a clip.

    Args:
        transcript: At most `MAX_WORDS` words in time order.
        duration: Seconds of the clip.

    Raises:
        TranscriptError: If it holds too many words, or times that are no numbers or fall.
    """
    words = transcript.words
    times = np.array([(word.start, word.end) for word in words], float).reshape(-1, 2)
    if len(words) > MAX_WORDS:
        raise _too_many(words)
    if not np.isfinite(times).all() or (np.diff(times[:, 0]) < 0).any() or (times[:, 1] < times[:, 0]).any():
        raise TranscriptError(Message("transcript_times_disordered"))
    fitted = [
        replace(word, start=float(start), end=float(end))
        for word, (start, end) in zip(words, np.clip(times, 0, duration), strict=True)
    ]
    return replace(transcript, words=tuple(fitted))


def split_words(text: str) -> list[str]:
    """Split what a user typed into words; what holds neither letter nor digit is dropped.

    Args:
        text: Any text; control and format characters are removed.

    Returns:
        At least one and at most `MAX_WORDS` words.

    Raises:
        TranscriptError: If the text is too long or holds no word.
    """
    if len(text) > MAX_CHARACTERS:
        values = {"count": f"{len(text):,}", "limit": f"{MAX_CHARACTERS:,}"}
        raise TranscriptError(Message("transcript_too_long", values))
    words = clean_words(text)
    if len(words) > MAX_WORDS:
        raise _too_many(words)
    if not words:
        raise TranscriptError(Message("transcript_empty"))
    return words


def _too_many(words: Sequence[object]) -> TranscriptError:
    values = {"count": f"{len(words):,}", "limit": f"{MAX_WORDS:,}"}
    return TranscriptError(Message("transcript_too_many_words", values))


def clean_words(text: str) -> list[str]:
    """Split a text into printable words; what holds neither letter nor digit is dropped.

    So is WebVTT's markup of voices, which is pasted into transcripts, and which careless converters escape.

    >>> clean_words("<v.loud Ann>good</v> film - <v")
    ['good', 'film']
    """
    return [word for word in _VOICE.sub(" ", printable(text)).split() if has_letters(word)]


def edit(words: Sequence[Word], text: str, *, duration: float) -> tuple[Word, ...]:
    """Correct a transcript without losing its times.

    Words that stay, be it in another spelling of case and punctuation, keep theirs. Words in place of others share
    the others' time, one for one where they are as many. Words put in get the pause there, or, where it is too short
    for them, share the time of the word before (at the very beginning: after) them. New words have the speaker of
    those whose time they take.

    Args:
        words: As they were, in time order.
        text: As it shall be.
        duration: Seconds of the clip.

    Returns:
        The words of `text` in time order.

    Raises:
        TranscriptError: If the text is too long or holds no word.
    """
    texts = split_words(text)
    old, new = list(words), []
    for kind, first, last, begin, until in _changes([word.text for word in old], texts):
        put = texts[begin:until]
        if kind == "equal" or (kind == "replace" and last - first == until - begin):
            new += [replace(word, text=said) for word, said in zip(old[first:last], put, strict=True)]
        elif kind == "replace":
            follows = old[last].start if last < len(old) else duration
            end = min(max(word.end for word in old[first:last]), follows)
            new += spread(put, [(old[first].start, max(end, old[first].start))])
        elif kind == "insert":
            _insert(put, new, old, first, duration)
    return _spoken(new, words)


def _spoken(new: Sequence[Word], old: Sequence[Word]) -> tuple[Word, ...]:
    """Give new words the speaker of the old word in whose time they lie, or that ended last before them."""
    if not any(word.speaker for word in old):
        return tuple(new)
    starts = [word.start for word in old]
    places = [max(0, bisect.bisect_right(starts, (word.start + word.end) / 2) - 1) for word in new]
    return tuple(
        replace(word, speaker=word.speaker or old[place].speaker) for word, place in zip(new, places, strict=True)
    )


def _changes(old: Sequence[str], new: Sequence[str]) -> list[tuple[str, int, int, int, int]]:
    """Return difflib's opcodes from one list of words to another, blind to case and punctuation.

    Common ends are taken off first: what is left is short, and difflib may ignore frequent words in it, without which
    a hostile text would cost it minutes.
    """
    a, b = ([_plain(word) for word in words] for words in (old, new))
    shorter = min(len(a), len(b))
    head = next((index for index in range(shorter) if a[index] != b[index]), shorter)
    tail = next((index for index in range(shorter - head) if a[-1 - index] != b[-1 - index]), shorter - head)
    middle = SequenceMatcher(a=a[head : len(a) - tail], b=b[head : len(b) - tail]).get_opcodes()
    codes = [("equal", 0, head, 0, head)]
    codes += [(kind, head + i, head + j, head + k, head + m) for kind, i, j, k, m in middle]
    return [*codes, ("equal", len(a) - tail, len(a), len(b) - tail, len(b))]


def _plain(word: str) -> str:
    return "".join(character for character in word.casefold() if character.isalnum())


def _insert(put: Sequence[str], new: list[Word], old: list[Word], index: int, duration: float) -> None:
    """Append words to `new` before `old[index]`, in the pause there or in a share of a neighbour's time."""
    characters = sum(map(len, put))
    begin = new[-1].end if new else 0.0
    follows = old[index].start if index < len(old) else max(duration, begin)
    if not (new or index < len(old)) or follows - begin >= characters / FASTEST_SPEECH:
        length = min(follows - begin, characters / USUAL_SPEECH)
        # What is put before the first word is said right before it, anything else right after the word before.
        start = begin if new or index == len(old) else follows - length
        new += spread(put, [(start, start + length)])
    elif new:
        before = new.pop()
        end = max(min(before.end, follows), before.start)
        new += spread([before.text, *put], [(before.start, end)])
    else:
        after = old[index]
        limit = old[index + 1].start if index + 1 < len(old) else duration
        end = max(min(after.end, limit), after.start)
        *added, old[index] = spread([*put, after.text], [(after.start, end)])
        new += added


def printable(text: str) -> str:
    """Turn controls into spaces; drop format characters, surrogates and what is unassigned."""
    normal = unicodedata.normalize("NFC", _without_piles(text))
    kinds = ((character, unicodedata.category(character)) for character in normal)
    return "".join(" " if kind == "Cc" else character for character, kind in kinds if kind == "Cc" or kind[0] != "C")


def _without_piles(text: str) -> str:
    """Drop marks beyond `MAX_MARKS` on one letter: to put them in order takes Unicode the square of their number."""
    if text.isascii() or not any(map(unicodedata.combining, text)):
        return text
    kept, marks = [], 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= MAX_MARKS:
            kept.append(character)
    return "".join(kept)


def has_letters(word: str) -> bool:
    """Whether a text holds a letter or digit."""
    return any(character.isalnum() for character in word)


def spread(texts: Sequence[str], segments: Sequence[tuple[float, float]]) -> tuple[Word, ...]:
    """Lay words one after the other over segments, each for a time proportional to its characters.

    Args:
        texts: At least one, none empty.
        segments: (start, end) in seconds, at least one, in time order.

    Returns:
        One word per text.
    """
    lengths = np.array([len(text) for text in texts], float)
    edges = np.concatenate([[0], np.cumsum(lengths)]) / lengths.sum()  # share of the voiced time
    begins, ends = np.array(segments).T
    voiced = np.concatenate([[0], np.cumsum(ends - begins)])  # voiced seconds before each segment
    spoken = edges * voiced[-1]
    first = np.clip(np.searchsorted(voiced, spoken[:-1], side="right") - 1, 0, len(begins) - 1)
    final = np.clip(np.searchsorted(voiced, spoken[1:], side="left") - 1, 0, len(begins) - 1)
    return tuple(
        Word(
            text=text,
            start=float(begins[i] + spoken[index] - voiced[i]),
            end=float(begins[j] + spoken[index + 1] - voiced[j]),
        )
        for index, (text, i, j) in enumerate(zip(texts, first, final, strict=True))
    )
