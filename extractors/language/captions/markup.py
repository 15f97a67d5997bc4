"""Cue text: the words that are said in a cue, who says them, and from when.

Captions hold more than speech: tags, descriptions of sounds in brackets, signs of music, names of speakers.
"""

from __future__ import annotations

import functools
import html
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from extractors.language.captions.cues import Cue
from extractors.language.transcript import clean_words, has_letters, printable

TOUCHING = 0.05  # seconds between two cues that follow on one another, and the length of a cue that only holds a line
NAME_CHARACTERS = 40

# Marks in private use: a time or a speaker by its index, so that tags can go while places stay.
_TIME, _SPEAKER, _END, _LITERAL = "\ue000", "\ue001", "\ue002", "\ue003"
_MARK = re.compile(rf"([{_TIME}{_SPEAKER}])([0-9]+){_END}")
_MARKS = rf"(?:[{_TIME}{_SPEAKER}][0-9]+{_END}|[ \t])*"
_MOMENT = re.compile(r"<(?:([0-9]{1,4}):)?([0-9]{1,3}):([0-9]{1,2})(?:[.,]([0-9]{1,3}))?>")
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?[ \t]([^<>]*)>|</v>")
_TAGS = "b|i|u|s|c|v|lang|ruby|rt|rp|font|em|strong|span|p|div|small|big|strike|del|tt|a"
_TAG = re.compile(rf"</?(?:{_TAGS})(?=[\s.>/])[^<>]*>|\{{\\[^{{}}]*\}}", re.IGNORECASE)
_RUBY = re.compile(r"<rt(?=[\s.>])[^<>]*>[^<>]*(?:</rt>)?", re.IGNORECASE)  # how the letters before it are said
_NUMBERED = re.compile(r"&#([0-9]{2,6});")  # a character that is one of a word, whatever it means elsewhere
_LITERALS = re.compile(rf"{_LITERAL}([0-9]+){_END}")
_BREAK = re.compile(r"<br[ \t]*/?>", re.IGNORECASE)
_BRACKETED = re.compile(r"\[[^\[\]]*\]|\([^()]*\)|（[^（）]*）|【[^【】]*】|［[^［］]*］")
_BRACKETED_NAME = re.compile(rf"^({_MARKS})(?:[-–—‐‑>]+[ \t]*)?[\[(]([^\[\]()]{{1,{NAME_CHARACTERS}}})[\])][ \t]*[:：]")
_TURN = re.compile(rf"({_MARKS})(?:[-–—‐‑]+(?![0-9])|>>+|»)[ \t]*")  # "- yes", ">> yes"
_NAME = re.compile(
    rf"({_MARKS})([^\W\d_][^:：\n{_TIME}-{_END}]{{0,{NAME_CHARACTERS}}}?)[ \t]*(?:：|:(?=\s|$|[{_TIME}{_SPEAKER}]))"
)
_MUSIC = re.compile("[♩♪♫♬♭♮♯🎵🎶]")


@dataclass(frozen=True, kw_only=True)
class Said:
    """Words of a cue that share a time.

    Attributes:
        start: Seconds.
        end: Seconds.
        words: In order.
        speakers: One per word; None where nobody is named.
    """

    start: float
    end: float
    words: tuple[str, ...]
    speakers: tuple[str | None, ...]


def is_descriptive(cue: Cue) -> bool:
    """Whether a cue describes a sound in brackets."""
    lines = [_BRACKETED_NAME.sub("", line, count=1) for line in _marked(cue.text)[0].split("\n")]
    return any(has_letters(found) for found in _BRACKETED.findall("\n".join(lines)))


def speaker_names(cues: Sequence[Cue]) -> frozenset[str]:
    """Return the labels before colons that are names of speakers by their number; capital letters are names anyway.

    "Ann: I love it" is one where labels come in most cues, or this one comes again; "Listen: I love it" is not.
    """
    labels: Counter[str] = Counter()
    for cue in cues:
        for line in _marked(cue.text)[0].splitlines():
            turn = _TURN.match(line)
            found = _NAME.match(line[turn.end() :] if turn else line)
            if found and _could_be_name(found.group(2)):
                labels[found.group(2)] += 1
    most = labels.total() >= 2 and labels.total() * 2 >= len(cues)
    return frozenset(label for label, count in labels.items() if most or count > 1)


def literal(word: str, *, first: bool) -> str:
    """Escape a word for WebVTT, so that `said` gives it back.

    Args:
        word: As spoken.
        first: Whether it begins a cue, where hyphens, arrows and names with a colon are read as turns and names.
    """
    labels = 2 * NAME_CHARACTERS if first else 0  # no turn or name is longer
    special = "[]()（）【】［］♩♪♫♬♭♮♯🎵🎶"
    return "".join(
        f"&#{ord(c)};" if c in special or (place < labels and c in "-–—‐‑>»:：") else html.escape(c, quote=False)
        for place, c in enumerate(word)
    )


def said(cue: Cue, names: frozenset[str] = frozenset()) -> Iterator[Said]:
    """Split a cue at the times within it.

    Args:
        cue: With tags.
        names: Labels that are speakers, as `speaker_names` finds them.

    Yields:
        What is said between two times; nothing is left out that is spoken.
    """
    text, moments, speakers = _marked(cue.text)
    text = "\n".join(_named(line, speakers) for line in text.split("\n"))
    text = _without_sounds(text)
    text = "\n".join(_labelled(line, names, speakers) for line in text.split("\n"))
    starts = [cue.start]
    for moment in moments:
        starts.append(min(max(moment, starts[-1]), cue.end))
    chunks: list[list[tuple[str, str | None]]] = [[] for _ in starts]
    at, speaker = 0, cue.speaker
    pieces = _MARK.split(text)  # text, then kind, index and text of each mark
    for kind, index, piece in zip(["", *pieces[1::3]], ["", *pieces[2::3]], pieces[::3], strict=True):
        if kind == _TIME:
            at = int(index) + 1
        elif kind == _SPEAKER:
            speaker = speakers[int(index)]
        spoken = _LITERALS.sub(lambda found: chr(int(found.group(1))), piece)
        chunks[at] += [(word, speaker) for word in clean_words(spoken)]
    for start, end, chunk in zip(starts, [*starts[1:], cue.end], chunks, strict=True):
        if chunk:
            words, who = zip(*chunk, strict=True)
            yield Said(start=start, end=end, words=words, speakers=who)


def unrolled(cues: Sequence[Cue]) -> list[Cue]:
    """Undo roll-up captions: lines that a cue repeats of the one before are left out.

    Automatic captions show each line twice or more, as it rolls up. A line that is said twice in ordinary captions
    stays: only where most cues that follow on one another repeat whole lines is it a roll-up.

    Args:
        cues: By start.

    Returns:
        As many cues; some may have no text left.
    """
    pairs = [[(line, _plain(line)) for line in cue.text.split("\n")] for cue in cues]
    lines, plain = ([[pair[side] for pair in each if has_letters(pair[1])] for each in pairs] for side in (0, 1))
    repeated = [0] * len(cues)
    followed = rolled = 0
    for index in range(1, len(cues)):
        before, cue = cues[index - 1], cues[index]
        if not plain[index] or not plain[index - 1] or abs(cue.start - before.end) > TOUCHING:
            continue
        followed += 1
        repeated[index] = _overlap(plain[index - 1], plain[index])
        momentary = min(before.end - before.start, cue.end - cue.start) <= TOUCHING
        rolled += repeated[index] > 0 and (repeated[index] < len(plain[index]) or momentary)
    if rolled * 2 < followed or not rolled or (rolled < 2 and not any(_MOMENT.search(cue.text) for cue in cues)):
        return list(cues)
    return [replace(cue, text="\n".join(each[count:])) for cue, each, count in zip(cues, lines, repeated, strict=True)]


def _overlap(before: Sequence[str], after: Sequence[str]) -> int:
    """Return how many lines at the end of one cue are those at the start of the next."""
    longest = min(len(before), len(after), 4)
    return next((count for count in range(longest, 0, -1) if list(before[-count:]) == list(after[:count])), 0)


def _plain(line: str) -> str:
    return " ".join(html.unescape(_TAG.sub("", _VOICE.sub("", _MOMENT.sub("", line)))).split())


def _marked(text: str) -> tuple[str, list[float], list[str | None]]:
    """Put marks in place of times and voices, and drop the other tags: (text, times, speakers)."""
    moments: list[float] = []
    speakers: list[str | None] = []

    def moment(found: re.Match[str]) -> str:
        hours, minutes, seconds, fraction = found.groups()
        moments.append(int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction or 0}"))
        return f"{_TIME}{len(moments) - 1}{_END}"

    def voice(found: re.Match[str]) -> str:
        return _mark(html.unescape(found.group(1) or ""), speakers)

    text = _NUMBERED.sub(rf"{_LITERAL}\1{_END}", re.sub(f"[{_TIME}-{_LITERAL}]", "", text))
    text = _VOICE.sub(voice, _MOMENT.sub(moment, _BREAK.sub("\n", _RUBY.sub("", text))))
    return html.unescape(_MUSIC.sub(" ", _TAG.sub("", text))), moments, speakers


def _mark(name: str, speakers: list[str | None]) -> str:
    """Note a speaker and return the mark that stands for it."""
    speakers.append(_name(name))
    return f"{_SPEAKER}{len(speakers) - 1}{_END}"


@functools.lru_cache(maxsize=1_000)
def _name(text: str) -> str | None:
    return " ".join(printable(text).split())[:NAME_CHARACTERS].strip() or None


def _named(line: str, speakers: list[str | None]) -> str:
    """Put a mark in place of a name in brackets with a colon."""
    found = _BRACKETED_NAME.match(line)
    return line if found is None else f"{found.group(1)}{_mark(found.group(2), speakers)} {line[found.end() :]}"


def _without_sounds(text: str) -> str:
    """Drop what stands in brackets; marks within stay."""

    def marks(found: re.Match[str]) -> str:
        return f" {''.join(mark.group() for mark in _MARK.finditer(found.group()))} "

    for _ in range(2):  # brackets within brackets
        text = _BRACKETED.sub(marks, text)
    return text


def _labelled(line: str, names: frozenset[str], speakers: list[str | None]) -> str:
    """Put marks in place of a leading hyphen, which stands for another speaker, and of a name with a colon."""
    if turn := _TURN.match(line):
        other = "" if _SPEAKER in turn.group(1) else _mark("", speakers)
        line = turn.group(1) + other + line[turn.end() :]
    found = _NAME.match(line)
    if found and _could_be_name(found.group(2)) and (found.group(2) in names or _is_capital(found.group(2))):
        line = found.group(1) + _mark(found.group(2), speakers) + " " + line[found.end() :]
    return line


def _could_be_name(label: str) -> bool:
    """Whether a label is one to three words that all begin with a capital, or in a script without capitals."""
    words = label.split()
    return 0 < len(words) <= 3 and not any(word[0].islower() for word in words)


def _is_capital(label: str) -> bool:
    return label.isupper() and sum(letter.isalpha() for letter in label) > 1
