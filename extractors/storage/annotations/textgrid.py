"""Praat's TextGrid files, by praatio."""

from __future__ import annotations

import re
from collections.abc import Sequence

from praatio import textgrid

from extractors.messages import Message
from extractors.storage.annotations.tiers import AnnotationError, Interval, Tier, apart, one_line
from extractors.storage.scratch import private_folder

MARK = "ooTextFile"  # stands in the first line of every file of Praat's
LONGEST_PART = 4_000  # characters between two items; praatio's search takes the square of it
LONG_FORM = re.compile(r"(?:item|intervals|points) ?\[")


def to_textgrid(tiers: Sequence[Tier], *, duration: float) -> bytes:
    """Write tiers in Praat's long text format.

    Args:
        tiers: With unique names, at least one.
        duration: Seconds of the clip, positive.
    """
    grid = textgrid.Textgrid(0.0, duration)
    for tier in tiers:
        entries = [(each.start, each.end, each.text) for each in apart(tier.intervals, duration=duration) if each.text]
        grid.addTier(textgrid.IntervalTier(one_line(tier.name), entries, 0.0, duration))
    with private_folder() as folder:
        path = folder / "tiers.TextGrid"
        grid.save(str(path), format="long_textgrid", includeBlankSpaces=True, reportingMode="silence")
        return path.read_bytes()


def read_textgrid(data: bytes) -> tuple[Tier, ...]:
    """Read the interval tiers of a TextGrid in one of its text formats; empty intervals and points are left out.

    Args:
        data: The file's bytes, of a bounded size, in UTF-8 or UTF-16.

    Raises:
        AnnotationError: If it is no TextGrid or is damaged.
    """
    damaged = AnnotationError(Message("annotation_damaged", {"kind": "TextGrid"}))
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeError:
        raise damaged from None
    # praatio would read JSON too, and search a part without an end over and over.
    parts = LONG_FORM.split(text)
    if MARK not in text[:100] or (len(parts) > 1 and max(map(len, parts)) > LONGEST_PART):
        raise damaged
    with private_folder() as folder:
        path = folder / "tiers.TextGrid"
        path.write_text(text, encoding="utf-8")
        try:
            grid = textgrid.openTextgrid(
                str(path), includeEmptyIntervals=False, reportingMode="silence", duplicateNamesMode="rename"
            )
        except Exception as error:  # praatio raises whatever a damaged file makes it stumble over
            raise damaged from error
    return tuple(
        Tier(
            name=one_line(tier.name),
            intervals=tuple(Interval(start=start, end=end, text=label) for start, end, label in tier.entries),
        )
        for tier in grid.tiers
        if isinstance(tier, textgrid.IntervalTier)
    )
