"""ELAN's annotation files (EAF), by pympi."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Any

import defusedxml.ElementTree
from defusedxml import DefusedXmlException
from pympi.Elan import Eaf, to_string

from extractors.messages import Message
from extractors.storage.annotations.tiers import AnnotationError, Interval, Tier, apart, one_line
from extractors.storage.scratch import private_folder

AUTHOR = "AlignMamba"
MAX_ELEMENTS = 200_000  # of the XML; a file of the largest size has fewer
MAX_MILLISECONDS = 1_000_000_000  # more than any file that can be used has
MAX_PARENTS = 20  # tiers between an annotation and the one that has its times


def to_elan(tiers: Sequence[Tier], *, duration: float, media: str = "", mime: str = "") -> bytes:
    """Write tiers as an EAF file.

    Args:
        tiers: With unique names.
        duration: Seconds of the clip.
        media: Name of the clip's file, which ELAN looks for beside the EAF file; empty links none.
        mime: Its media type.
    """
    eaf = Eaf(author=AUTHOR)
    eaf.remove_tier("default")
    if media:
        name = one_line(media)
        eaf.add_linked_file(name, relpath=f"./{name}", mimetype=mime)
    for tier in tiers:
        name = one_line(tier.name)
        eaf.add_tier(name)
        for each in apart(tier.intervals, duration=duration):
            eaf.add_annotation(name, round(each.start * 1000), round(each.end * 1000), each.text)
    text: str = to_string(eaf)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()


def read_elan(data: bytes) -> tuple[Tier, ...]:
    """Read the tiers of an EAF file; annotations without times of their own have those of their parent.

    Args:
        data: The file's bytes, of a bounded size.

    Raises:
        AnnotationError: If it is no EAF file, is damaged, or has a document type or entities.
    """
    _guard(data)
    with private_folder() as folder:
        path = folder / "tiers.eaf"
        path.write_bytes(data)
        try:
            eaf = Eaf(str(path), suppress_version_warning=True)
        except Exception as error:  # pympi raises whatever a damaged file makes it stumble over
            raise AnnotationError(Message("annotation_damaged", {"kind": "ELAN"})) from error
    return tuple(
        Tier(name=one_line(name), intervals=tuple(sorted(_intervals(eaf, name), key=lambda each: each.start)))
        for name in eaf.tiers
    )


def _guard(data: bytes) -> None:
    """Refuse XML that is damaged, or whose entities or size could do harm, before a parser without limits sees it."""
    try:
        events = defusedxml.ElementTree.iterparse(io.BytesIO(data), forbid_dtd=True)
        for count, _event in enumerate(events):
            if count > MAX_ELEMENTS:
                raise AnnotationError(Message("annotation_too_many", {"limit": f"{MAX_ELEMENTS:,}"}))
        root = events.root
    except AnnotationError:
        raise
    except DefusedXmlException as error:
        raise AnnotationError(Message("annotation_entities")) from error
    except (defusedxml.ElementTree.ParseError, ValueError, LookupError) as error:
        raise AnnotationError(Message("annotation_damaged", {"kind": "ELAN"})) from error
    if root is None or root.tag != "ANNOTATION_DOCUMENT":
        raise AnnotationError(Message("annotation_damaged", {"kind": "ELAN"}))


def _intervals(eaf: Any, name: str) -> Iterable[Interval]:
    aligned, referring = eaf.tiers[name][:2]
    for begin, until, text, _svg in aligned.values():
        yield from _interval(eaf, begin, until, text)
    for annotation in referring:
        found, text = annotation, referring[annotation][1]
        for _ in range(MAX_PARENTS):  # a file may refer in a circle
            home = eaf.tiers.get(eaf.annotations.get(found))
            if home is None or not (found in home[0] or found in home[1]):  # or another tier of this name hides it
                break
            if found in home[0]:
                begin, until = home[0][found][:2]
                yield from _interval(eaf, begin, until, text)
                break
            found = home[1][found][0]


def _interval(eaf: Any, begin: str, until: str, text: str) -> Iterable[Interval]:
    start, end = eaf.timeslots.get(begin), eaf.timeslots.get(until)
    # The largest first: a number of hundreds of digits cannot be divided.
    if start is not None and end is not None and 0 <= start < end <= MAX_MILLISECONDS:
        yield Interval(start=start / 1000, end=end / 1000, text=text)
