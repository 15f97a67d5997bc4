"""Caption formats that `pysubs2` reads, and TTML, of which it reads one profile only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from xml.etree import ElementTree

from extractors.language.captions.cues import Captions, Cue, slowest
from extractors.messages import Message, Value

USUAL_FRAME_RATE = 25.0  # frames per second where neither captions nor clip state one

_ASS_EVENT = re.compile(r"(Dialogue|Comment)[ \t]*:[ \t]*(.*)$", re.DOTALL)
_ASS_CLOCK = re.compile(r"[ \t]*-?[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:[.,][0-9]{1,3})?[ \t]*$")
_TTML_CLOCK = re.compile(r"([0-9]+):([0-9]{2}):([0-9]{2}(?:\.[0-9]+)?)(?::([0-9]+))?$")
_TTML_OFFSET = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|m|s|f|t)$")


LINE_CHARACTERS = 10_000  # pysubs2 takes time with the square of a line


def substation(text: str, frame_rate: float | None) -> Captions:
    """Read SubStation Alpha; columns are put into the order that pysubs2 expects."""
    columns = ["layer", "start", "end", "style", "name", "marginl", "marginr", "marginv", "effect", "text"]
    expected, numbers = list(columns), ("layer", "marginl", "marginr", "marginv")
    lines, unplaced = ["[Events]"], []
    for number, line in enumerate(text.splitlines(), start=1):
        name, _, rest = line.strip().partition(":")
        if name == "Format" and "text" in rest.lower():
            columns = [column.strip().lower() for column in rest.split(",")]
        elif found := _ASS_EVENT.match(line.strip()):
            values = dict(zip(columns, found.group(2).split(",", len(columns) - 1), strict=False))
            if not all(_ASS_CLOCK.match(values.get(edge, "")) for edge in ("start", "end")):
                unplaced.append(Message("subtitles_line_unreadable", {"line": number}))
                continue
            kept = {"name": values.get("actor", ""), **values, **dict.fromkeys(numbers, "0")}
            lines.append(f"{found.group(1)}: " + ",".join(kept.get(column, "") for column in expected))
    found_cues = _by_pysubs2("\n".join(lines), "ass")
    return replace(found_cues, unplaced=(*unplaced, *found_cues.unplaced))


def microdvd(text: str, frame_rate: float | None) -> Captions:
    """Read MicroDVD, which counts frames."""
    stated = re.match(r"\s*\{1\}\{1\}\s*([0-9]{1,3}(?:[.,][0-9]+)?)\s*(?:\n|$)", text)
    if stated:
        rate, text = float(stated.group(1).replace(",", ".")), text[stated.end() :]
    else:
        rate = frame_rate or USUAL_FRAME_RATE
    notes = () if stated else (Message("subtitles_frames_counted", {"rate": f"{rate:g}"}),)
    return replace(_by_pysubs2(text, "microdvd", fps=rate, line=r" *\{ *[0-9]+ *\} *\{ *[0-9]+ *\}"), notes=notes)


def mpl2(text: str, frame_rate: float | None) -> Captions:
    """Read MPL2, which counts tenths of seconds."""
    return _by_pysubs2(text, "mpl2", line=r"\[-?[0-9]+\]\[-?[0-9]+\]")


def tmplayer(text: str, frame_rate: float | None) -> Captions:
    """Read TMPlayer, which counts whole seconds."""
    text = re.sub(r"^([0-9]{1,2}:[0-9]{2}:[0-9]{2})=", r"\1:", text, flags=re.MULTILINE)
    return _by_pysubs2(text, "tmp", line=r"[0-9]{1,2}:[0-9]{2}:[0-9]{2}:")


def sami(text: str, frame_rate: float | None) -> Captions:
    """Read SAMI."""
    return _by_pysubs2(text, "sami")


def _by_pysubs2(text: str, format_: str, *, fps: float | None = None, line: str = "") -> Captions:
    """Let pysubs2 read a text.

    Args:
        text: The file's text.
        format_: As pysubs2 names it.
        fps: Frames per second, for formats that count them.
        line: Pattern with which every line begins; lines that do not are noted.
    """
    import pysubs2

    if max(map(len, text.splitlines()), default=0) > LINE_CHARACTERS:
        raise ValueError(f"a line of more than {LINE_CHARACTERS:,} characters")
    unplaced = [
        Message("subtitles_line_untimed", {"line": number})
        for number, each in enumerate(text.splitlines(), start=1)
        if line and each.strip() and not re.match(line, each)
    ]
    cues: list[Cue] = []
    for event in pysubs2.SSAFile.from_string(text, format_=format_, fps=fps):
        if event.is_comment or event.is_drawing:
            continue
        start, end = event.start / 1000, event.end / 1000
        if end < start or end < 0:
            values: dict[str, Value] = {"line": len(cues) + 1, "start": f"{start:g}", "end": f"{end:g}"}
            unplaced.append(Message("subtitles_line_reversed", values))
        else:
            speaker = event.name.strip() or None
            cues.append(Cue(start=max(start, 0.0), end=end, text=event.plaintext, speaker=speaker))
    return Captions(cues=tuple(cues), unplaced=tuple(unplaced))


def ttml(text: str, frame_rate: float | None) -> Captions:
    """Read TTML of any profile and its forerunner DFXP; times count from the start of the element around."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("a document type, expected none")
    root = ElementTree.fromstring(text.strip())  # noqa: S314  # no entities, bounded in size
    rates = {_local(name): value for name, value in root.attrib.items()}
    rate = float(rates.get("frameRate", frame_rate or USUAL_FRAME_RATE))
    multiplier = [float(part) for part in rates.get("frameRateMultiplier", "1 1").split()]
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "t": 1 / float(rates.get("tickRate", 1) or 1)}
    units["f"] = multiplier[-1] / (rate * multiplier[0])
    cues: list[Cue] = []
    unplaced: list[Message] = []

    def visit(element: ElementTree.Element, origin: float, limit: float) -> None:
        times = {_local(name): _ttml_seconds(value, units) for name, value in element.attrib.items() if value}
        begin = origin + (times.get("begin") or 0.0)
        ends = [limit, *(origin + t for t in [times.get("end")] if t), *(begin + t for t in [times.get("dur")] if t)]
        if _local(element.tag) != "p" or (times.get("begin") is None and any(_timed(child) for child in element)):
            for child in element:
                visit(child, begin, min(ends))
            return
        said = _ttml_text(element)
        end = min(ends) if min(ends) < float("inf") else begin + slowest(said)
        if "begin" not in times or times["begin"] is None or end < begin:
            unplaced.append(Message("subtitles_line_untimed", {"line": len(cues) + len(unplaced) + 1}))
        else:
            cues.append(Cue(start=begin, end=end, text=said))

    def _timed(element: ElementTree.Element) -> bool:
        return "begin" in {_local(name) for name in element.attrib}

    for body in _outermost(root, "body"):
        visit(body, 0.0, float("inf"))
    return Captions(cues=tuple(cues), unplaced=tuple(unplaced))


def _outermost(root: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    """Yield the elements of a name in order, without those within another of them."""
    waiting = [root]
    while waiting:
        element = waiting.pop()
        if _local(element.tag) == name:
            yield element
        else:
            waiting += reversed(element)


def _local(name: str) -> str:
    """Return an XML name without its namespace."""
    return name.rpartition("}")[2]


def _ttml_seconds(value: str, units: Mapping[str, float]) -> float | None:
    if found := _TTML_CLOCK.match(value.strip()):
        hours, minutes, seconds, frames = found.groups()
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds) + int(frames or 0) * units["f"]
    if found := _TTML_OFFSET.match(value.strip()):
        return float(found.group(1)) * units[found.group(2)]
    return None


def _ttml_text(element: ElementTree.Element) -> str:
    """Return the text below a paragraph, with a new line at each break, and its angle brackets escaped."""

    def parts(inside: ElementTree.Element) -> Iterator[str]:
        yield inside.text or ""
        for child in inside:
            if _local(child.tag) == "br":
                yield "\n"
            elif _local(child.tag) != "metadata":
                yield from parts(child)
            yield child.tail or ""

    joined = "".join(part if part == "\n" else re.sub(r"\s+", " ", part) for part in parts(element))
    return joined.replace("&", "&amp;").replace("<", "&lt;")
