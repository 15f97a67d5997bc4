"""The three modalities of a clip and their order."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum
from itertools import combinations


class Modality(StrEnum):
    """A modality; the value is its name in files and over HTTP."""

    AUDIO = "audio"
    VIDEO = "video"
    LANGUAGE = "language"

    @property
    def letter(self) -> str:
        """The field's one-letter name: a, v or l."""
        return self.value[0]


MODALITIES: tuple[Modality, ...] = tuple(Modality)

# The anchor, to whose time axis the others are aligned, is the first of these that a clip has: language, else video
# (paper, section on incomplete input), else audio.
ANCHOR_ORDER: tuple[Modality, ...] = (Modality.LANGUAGE, Modality.VIDEO, Modality.AUDIO)

# The seven non-empty subsets, all three first.
SUBSETS: tuple[frozenset[Modality], ...] = tuple(
    frozenset(chosen) for size in (3, 2, 1) for chosen in combinations(MODALITIES, size)
)


def parse_modalities(names: Iterable[str]) -> frozenset[Modality]:
    """Check names given by a caller.

    Args:
        names: Modality names ("audio", "video", "language") in any order.

    Returns:
        The named modalities.

    Raises:
        ValueError: If a name is unknown or none is given.

    >>> sorted(str(modality) for modality in parse_modalities(["video", "audio"]))
    ['audio', 'video']
    """
    known = {modality.value: modality for modality in MODALITIES}
    chosen = frozenset(names)
    unknown = sorted(chosen - known.keys())
    if unknown:
        raise ValueError(f"modalities: unknown {unknown}, expected some of {sorted(known)}")
    if not chosen:
        raise ValueError(f"modalities: none given, expected at least one of {sorted(known)}")
    return frozenset(known[name] for name in chosen)


def anchor_of(modalities: Collection[Modality]) -> Modality:
    """Anchor of a clip that has these modalities, at least one.

    >>> str(anchor_of({Modality.AUDIO, Modality.VIDEO}))
    'video'
    """
    return next(modality for modality in ANCHOR_ORDER if modality in modalities)


def letters(modalities: Iterable[Modality]) -> str:
    """Short name of a subset in files: "avl", "av", "l".

    >>> letters([Modality.LANGUAGE, Modality.AUDIO])
    'al'
    """
    chosen = frozenset(modalities)
    return "".join(modality.letter for modality in MODALITIES if modality in chosen)
