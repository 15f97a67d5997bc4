"""Caption formats: which one a text is in, and its cues.

SRT, WebVTT, SBV and SubViewer are read here: what people upload breaks their rules, and a strict parser drops what it
cannot read. `pysubs2` reads SubStation Alpha, MicroDVD, MPL2, TMPlayer and SAMI.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from extractors.language.captions import library
from extractors.language.captions.cues import Captions, Cue, slowest
from extractors.language.transcript import TranscriptError
from extractors.messages import Message, Value

TIMING_CHARACTERS = 200  # of a line, within which its times must stand
HEAD_CHARACTERS = 20_000  # of a text, by which its format is determined

_ARROW = r"(?:-{1,3}[ \t]*(?:>|&gt;)|[–—][ \t]*>|=>|→)"
_CLOCK = (
    r"(-)?[ \t]*(?:([0-9]{1,4})[ \t]*:[ \t]*)?([0-9]{1,3})[ \t]*:[ \t]*([0-9]{1,2})"
    r"(?:[ \t]*[.,][ \t]*([0-9]{1,9})|:([0-9]{3}))?"
)
_ARROW_TIMING = re.compile(rf"[ \t]*\[?[ \t]*{_CLOCK}[ \t]*{_ARROW}[ \t]*{_CLOCK}(?![0-9:])[ \t]*\]?(.*)", re.DOTALL)
_ARROW_LIKE = re.compile(rf"[ \t]*[\[-]?[ \t]*(?:[0-9]+[ \t]*:[0-9 \t:.,;]*{_ARROW}|[0-9:.,]*[0-9][0-9:.,]*[ \t]*-->)")
_ARROW_WITHIN = re.compile(r"[^>]*[0-9][ \t]*:[^>]*-->|[^>]*-->[^>]*[0-9][ \t]*:")  # garbled, among cues that are not
_COMMA_CLOCK = r"(-)?([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})\.([0-9]{1,3})()"
_COMMA_TIMING = re.compile(rf"[ \t]*{_COMMA_CLOCK}[ \t]*,[ \t]*{_COMMA_CLOCK}[ \t]*()$")
_COMMA_LIKE = re.compile(r"[ \t]*-?[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}\.[0-9]{1,3}[ \t]*,[ \t]*-?[0-9]")
_SETTINGS = re.compile(r"[ \t]*(?:[^ \t:]+:[^ \t]+(?:[ \t]+|$))*$")  # WebVTT's "align:start", SubRip's "X1:100"
_BLOCK = re.compile(r"(?:NOTE|STYLE|REGION)(?:\s|$)")

_LRC_CLOCK = r"\[[ \t]*(?:([0-9]{1,2}):)?([0-9]{1,3}):([0-9]{1,2})(?:[.,:]([0-9]{1,3}))?[ \t]*\]"
_LRC_LINE = re.compile(rf"[ \t]*((?:{_LRC_CLOCK}[ \t]*)+)(.*)$", re.DOTALL)
_LRC_STAMP = re.compile(_LRC_CLOCK)
_LRC_TAG = re.compile(r"[ \t]*\[(?:ti|ar|al|au|by|re|ve|la|length|offset|id|#)[ \t]*:([^\]]*)\][ \t]*$", re.IGNORECASE)


def format_name(text: str) -> str | None:
    """Return the name of the format that a text is in; None for one that is no captions.

    >>> format_name("WEBVTT"), format_name("[00:01.00]good"), format_name("good film")
    ('WebVTT', 'LRC', None)
    """
    head = _without_formatting(text[:HEAD_CHARACTERS]).lstrip()
    for name, pattern in _STARTS.items():
        if pattern.match(head):
            return name
    lines = [line for line in head.splitlines() if line.strip()]
    if any(_COMMA_LIKE.match(line) for line in lines[:12]):  # SubViewer has a header
        return "SBV"
    if any(_ARROW_LIKE.match(_in_ascii(line[:TIMING_CHARACTERS])) for line in lines):
        return "SRT"
    first = next((line for line in lines if not _LRC_TAG.match(line)), "")
    if _LRC_LINE.match(first) or (lines and _LRC_TAG.match(lines[0])):
        return "LRC"
    timed = sum(bool(_TIME_FIRST.match(line) or _TIME_LAST.match(line)) for line in lines)
    return "?" if timed >= 2 and timed * 3 >= len(lines) else None


def _without_formatting(text: str) -> str:
    """Drop what changes no letter: marks of direction and spaces of no width, which some editors put before lines."""
    return "".join(letter for letter in text if letter.isascii() or unicodedata.category(letter) != "Cf")


def _in_ascii(line: str) -> str:
    """Return a line of times as most have it: with ASCII's digits, colons and spaces, whatever keyboard wrote it."""
    if line.isascii():
        return line
    plain = unicodedata.normalize("NFKC", _without_formatting(line))
    return "".join(str(unicodedata.decimal(letter, letter)) for letter in plain)


def read(text: str, name: str, *, frame_rate: float | None = None) -> Captions:
    """Read captions of a format.

    Args:
        text: The file's text.
        name: As `format_name` returns it.
        frame_rate: Of the clip, for formats that count frames; None where it is not known.

    Raises:
        TranscriptError: If this format is not read, or the file is damaged.
    """
    if name not in READERS:
        kind = "subtitles_format_unknown" if name == "?" else "subtitles_format_not_read"
        raise TranscriptError(Message(kind, {} if name == "?" else {"format": name}))
    lines = re.sub(r"\r+\n?", "\n", text.lstrip("\ufeff"))
    try:
        return READERS[name](lines, frame_rate)
    except (ArithmeticError, LookupError, RecursionError, SyntaxError, ValueError) as error:
        if isinstance(error, TranscriptError):
            raise
        raise TranscriptError(Message("subtitles_damaged", {"format": name}), str(error)) from error


def _seconds(groups: Sequence[str | None]) -> float:
    """Return the seconds of a clock's groups: sign, hours, minutes, seconds, fraction, milliseconds."""
    sign, hours, minutes, seconds, fraction, thousandths = groups
    whole = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    return (-1 if sign else 1) * (whole + float(f"0.{fraction or thousandths or 0}"))


def _webvtt(text: str, frame_rate: float | None) -> Captions:
    return _blocks(text, timing=_ARROW_TIMING, like=_ARROW_LIKE, webvtt=True)


def _srt(text: str, frame_rate: float | None) -> Captions:
    return _blocks(text, timing=_ARROW_TIMING, like=_ARROW_LIKE)


def _sbv(text: str, frame_rate: float | None) -> Captions:
    found = _blocks(text, timing=_COMMA_TIMING, like=_COMMA_LIKE)
    cues = (replace(cue, text=cue.text.replace("[br]", "\n")) for cue in found.cues)
    return replace(found, cues=tuple(cues))


def _blocks(text: str, *, timing: re.Pattern[str], like: re.Pattern[str], webvtt: bool = False) -> Captions:
    """Read lines of text below lines of times; blank lines within a cue lose nothing."""
    lines = text.splitlines()
    heads = [_in_ascii(line[:TIMING_CHARACTERS]) for line in lines]
    places = [
        index for index, head in enumerate(heads) if like.match(head) or ("-->" in head and _ARROW_WITHIN.match(head))
    ]
    numbered = bool(places) and any(line.strip().isdecimal() for line in lines[max(0, places[0] - 2) : places[0]])
    cues, unplaced = [], []
    if not webvtt and places and any(_is_text(line) for line in lines[: places[0]]):
        unplaced.append(Message("subtitles_line_untimed", {"line": 1}))
    for index, until in zip(places, [*places[1:], len(lines)][: len(places)], strict=True):
        said = lines[index + 1 : until]
        if until < len(lines):
            said = _without_identifier(said, numbered=numbered, webvtt=webvtt)
        if webvtt:
            said = _without_blocks(said)
        found = timing.match(heads[index])
        if found is None:
            unplaced.append(Message("subtitles_line_unreadable", {"line": index + 1}))
            continue
        start, end, rest = _seconds(found.groups()[:6]), _seconds(found.groups()[6:12]), found.group(13)
        rest = "" if _SETTINGS.match(rest) else rest + lines[index][TIMING_CHARACTERS:]
        if end < start or end < 0:
            values: dict[str, Value] = {"line": index + 1, "start": f"{start:g}", "end": f"{end:g}"}
            unplaced.append(Message("subtitles_line_reversed", values))
            continue
        spoken = "\n".join(line for line in [rest, *said] if line.strip())
        cues.append(Cue(start=max(start, 0.0), end=end, text=spoken))
    return Captions(cues=tuple(cues), unplaced=tuple(unplaced))


def _is_text(line: str) -> bool:
    """Whether a line before the first time is more than a cue's number or a header."""
    return any(letter.isalpha() for letter in line) and not line.lstrip().startswith("[")


def _without_identifier(said: Sequence[str], *, numbered: bool, webvtt: bool) -> list[str]:
    """Drop the identifier of the next cue, the last line above its times."""
    kept = list(said)
    while kept and not kept[-1].strip():
        kept.pop()
    adjacent = len(kept) == len(said)
    if kept and kept[-1].strip().isdecimal() and (numbered or (adjacent and len(kept) > 1)):
        kept.pop()
    elif kept and webvtt and adjacent and len(kept) > 1 and not kept[-2].strip():
        kept.pop()
    return kept


def _without_blocks(said: Sequence[str]) -> list[str]:
    """Drop WebVTT's blocks that hold no captions, each from its name after a blank line to the next blank line."""
    kept, inside, before = [], False, "text"
    for line in said:
        inside = (inside and bool(line.strip())) or (not before.strip() and bool(_BLOCK.match(line)))
        if not inside:
            kept.append(line)
        before = line
    return kept


def _lrc(text: str, frame_rate: float | None) -> Captions:
    """Read lines that begin with their times; a line ends where the next begins."""
    offset, timed, unplaced = 0.0, [], []
    for number, line in enumerate(text.splitlines(), start=1):
        if tag := _LRC_TAG.match(line):
            if line.lstrip()[1:].lower().startswith("offset"):
                offset = float(tag.group(1).strip() or 0) / 1000  # positive: earlier
        elif found := _LRC_LINE.match(line):
            said = found.group(found.re.groups)
            for stamp in _LRC_STAMP.findall(found.group(1)):
                timed.append((_seconds([None, *stamp, None]), said))
        elif line.strip():
            unplaced.append(Message("subtitles_line_untimed", {"line": number}))
    timed.sort(key=lambda entry: entry[0])
    starts = [max(start - offset, 0.0) for start, _ in timed]
    cues = []
    for start, following, (_, said) in zip(starts, [*starts[1:], float("inf")], timed, strict=True):
        cues.append(Cue(start=start, end=min(following, start + slowest(said)), text=said))
    return Captions(cues=tuple(cues), unplaced=tuple(unplaced))


READERS: Mapping[str, Callable[[str, float | None], Captions]] = {
    "WebVTT": _webvtt,
    "SRT": _srt,
    "SBV": _sbv,
    "LRC": _lrc,
    "SubStation Alpha": library.substation,
    "MicroDVD": library.microdvd,
    "MPL2": library.mpl2,
    "TMPlayer": library.tmplayer,
    "SAMI": library.sami,
    "TTML": library.ttml,
}
# How the texts of formats begin that no line of times tells; those without a reader are refused by their name.
_STARTS: Mapping[str, re.Pattern[str]] = {
    "WebVTT": re.compile(r"WEBVTT(?:\s|$)"),
    "SubStation Alpha": re.compile(
        r"(?:\s*(?:;|!:)[^\n]*\n)*\[(?:Script Info|V4\+? Styles|Events)\]|Dialogue:[ \t]*(?:Marked=)?[0-9]+,",
        re.IGNORECASE,
    ),
    "MicroDVD": re.compile(r"\{[ \t]*[0-9]+[ \t]*\}[ \t]*\{[ \t]*[0-9]*[ \t]*\}"),
    "MPL2": re.compile(r"\[-?[0-9]+\][ \t]*\[-?[0-9]*\]"),
    "TMPlayer": re.compile(r"[0-9]{1,2}:[0-9]{2}:[0-9]{2}[:=](?![0-9])"),
    "SAMI": re.compile(r"<SAMI[\s>]", re.IGNORECASE),
    "TTML": re.compile(r"(?:<\?xml[^>]*>\s*|<!--(?:(?!-->).)*-->\s*)*<(?:[A-Za-z]+:)?tt[\s>]", re.DOTALL),
    "Avid DS": re.compile(r"@[^\n]*\n\s*<begin subtitles>|<begin subtitles>", re.IGNORECASE),
    "QuickTime Text": re.compile(r"\{QTtext\}", re.IGNORECASE),
    "Scenarist SCC": re.compile(r"Scenarist_SCC"),
    "VobSub": re.compile(r"#\s*VobSub"),
    "EBU STL": re.compile(r".{3}STL[0-9]{2}\.[0-9]", re.DOTALL),
    "Spruce STL": re.compile(r"(?://[^\n]*\n\s*)*\$[A-Za-z]+[ \t]*="),
    "RealText": re.compile(r"<window[\s>]", re.IGNORECASE),
    "YouTube XML": re.compile(r"(?:<\?xml[^>]*>\s*)?<(?:transcript|timedtext)[\s>]", re.IGNORECASE),
    "XML": re.compile(r"<\?xml\s"),
    "JSON": re.compile(r'(?=[\[{]\s*["\[{])(?=.{0,4000}"(?:start\w*|tStartMs|begin\w*|segments|events)")', re.DOTALL),
    "CSV": re.compile(
        r'"?start\w*"?[ \t]*[\t,;][ \t]*"?(?:end|stop|duration|text)'
        r"|[0-9]+(?:\.[0-9]+)?\t[0-9]+(?:\.[0-9]+)?\t|[0-9]+\.[0-9]+[ \t]*([,;])[ \t]*[0-9]+\.[0-9]+[ \t]*\1",
        re.IGNORECASE,
    ),
}
_TIME_LAST = re.compile(  # "Ann  0:01", "Speaker 2 (00:05)"
    r"(?:.{1,60}?(?:\t|[ ]{2,})|[ \t]*speaker[ ]+[0-9]+[: ]+)[\[(]?[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?[\])]?\s*$",
    re.IGNORECASE,
)
_TIME_FIRST = re.compile(
    r"[ \t]*[\[(]?[0-9]{1,3}:[0-9]{2}(?::[0-9]{2})?(?:[.,:;][0-9]{1,3})?[\])]?(?=[\s,:;|-]|$|[^\W\d])"
)
