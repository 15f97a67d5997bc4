"""Reading annotation files: their kind is recognised by their content, and everything about them is bounded."""

from __future__ import annotations

from extractors.language.transcript import MAX_WORDS, printable, spread
from extractors.messages import Message
from extractors.schema import Word
from extractors.storage.annotations.tiers import AnnotationError, Interval, Tier

MAX_BYTES = 2_000_000
MAX_TIERS = 200
MAX_INTERVALS = 20_000  # of all tiers together
MAX_SECONDS = 86_400.0  # a time beyond a day is no time in a clip


def read(data: bytes) -> tuple[Tier, ...]:
    """Read the tiers of an ELAN or TextGrid file that have at least one interval.

    Args:
        data: The file's bytes.

    Raises:
        AnnotationError: If it is of another kind, too large, damaged, or holds no interval.
    """
    if len(data) > MAX_BYTES:
        raise AnnotationError(Message("annotation_too_large", {"limit": MAX_BYTES // 1_000_000}))
    tiers = [tier for tier in _read(data) if tier.intervals]
    if len(tiers) > MAX_TIERS or sum(len(tier.intervals) for tier in tiers) > MAX_INTERVALS:
        raise AnnotationError(Message("annotation_too_many", {"limit": f"{MAX_INTERVALS:,}"}))
    if not tiers or any(not 0 <= each.start <= each.end <= MAX_SECONDS for tier in tiers for each in tier.intervals):
        raise AnnotationError(Message("annotation_empty"))
    return tuple(tiers)


def _read(data: bytes) -> tuple[Tier, ...]:
    # Imported here, as most sessions never read such a file.
    head = data[:200].replace(b"\x00", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    if head.startswith(b"<"):
        from extractors.storage.annotations.elan import read_elan

        return read_elan(data)
    if head.startswith(b"File type"):
        from extractors.storage.annotations.textgrid import read_textgrid

        return read_textgrid(data)
    raise AnnotationError(Message("annotation_unknown"))


def words(tier: Tier, *, duration: float) -> tuple[Word, ...]:
    """Return a tier's labels as words with times; those of a longer label share its time by their length.

    Args:
        tier: Of any file; what lies after the end of the clip is left out.
        duration: Seconds of the clip.

    Raises:
        AnnotationError: If there is no word within the clip, or there are too many.
    """
    found: list[Word] = []
    for each in _within(tier, duration):
        texts = printable(each.text).split()
        if len(found) + len(texts) > MAX_WORDS:
            raise AnnotationError(Message("annotation_too_many", {"limit": f"{MAX_WORDS:,}"}))
        if texts:
            begin = max(each.start, found[-1].start if found else 0.0)
            found += spread(texts, [(begin, max(begin, each.end))])
    if not found:
        raise AnnotationError(Message("annotation_empty"))
    return tuple(found)


def _within(tier: Tier, duration: float) -> list[Interval]:
    return [
        Interval(start=each.start, end=min(each.end, duration), text=each.text)
        for each in tier.intervals
        if each.start < duration
    ]
