"""Every sentence and name that the screen says, built from results."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING

from alignmamba.modality import Modality

if TYPE_CHECKING:
    from app.alignment import AlignmentTable

# How the three senses are called on screen.
NAMES = {Modality.AUDIO: "Voice", Modality.VIDEO: "Face", Modality.LANGUAGE: "Words"}
ICONS = {
    Modality.AUDIO: ":material/graphic_eq:",
    Modality.VIDEO: ":material/face:",
    Modality.LANGUAGE: ":material/chat_bubble:",
}
# Words first: they are the anchor, and most readers look for them first.
DISPLAY_ORDER = (Modality.LANGUAGE, Modality.AUDIO, Modality.VIDEO)

# The seven degrees of the [-3, 3] scale, as CMU-MOSI's annotators were given them.
DEGREES = {
    -3: "very negative",
    -2: "negative",
    -1: "slightly negative",
    0: "neutral",
    1: "slightly positive",
    2: "positive",
    3: "very positive",
}

# What `extractors.clip.STEPS` do.
STEPS = {
    "sound": "Decoding the sound",
    "voice": "Measuring the voice (openSMILE)",
    "face": "Following the face (MediaPipe)",
    "words": "Finding the words (Whisper)",
    "language": "Reading the words (MiniLM)",
}

# The two ways to solve the transport problem.
RELAXED, SINKHORN = "relaxed", "Sinkhorn"

CAUTION = "An estimate of how a clip comes across, often wrong, and no statement about what a person feels."
NOTICE = (
    f"{CAUTION} Upload only clips that you may use. Your clip is kept in a private folder while it is analysed, then "
    "deleted; what was measured stays in memory for this visit only; nothing is stored or sent elsewhere. Not for "
    "judging people at work or in education."
)


def signed(number: float) -> str:
    """Write a number with its sign and two decimals; what rounds to zero is +0.00."""
    return f"{round(number, 2) + 0.0:+.2f}"


def share(probability: float) -> str:
    """Write a probability in per cent, never as certain."""
    if probability > 0.99:
        return "over 99%"
    return "under 1%" if probability < 0.01 else f"{probability:.0%}"


def degree(score: float) -> str:
    """Name a score in [-3, 3] on the seven-degree scale."""
    return DEGREES[round(max(-3.0, min(3.0, score)))]


def join(names: Collection[str], *, by: str = "and") -> str:
    """Join names as in a sentence: "a", "a and b", "a, b and c"."""
    *head, last = names
    return f"{', '.join(head)} {by} {last}" if head else last


def subset(modalities: Collection[Modality]) -> str:
    """Name a set of modalities in display order, as in "Words + Voice"."""
    return " + ".join(NAMES[modality] for modality in DISPLAY_ORDER if modality in modalities)


def verdict(score: float, classes: dict[str, float], used: Collection[Modality]) -> str:
    """Say a prediction in plain words.

    Args:
        score: Sentiment in [-3, 3].
        classes: Probability of each class.
        used: Modalities that were looked at.

    Returns:
        One or two sentences; the second when score and class disagree.
    """
    senses = join([NAMES[modality].lower() for modality in DISPLAY_ORDER if modality in used])
    likeliest = max(classes, key=classes.__getitem__)
    sentence = f"Judged by {senses}, this clip comes across as **{degree(score)}**."
    if likeliest not in degree(score):
        sentence += f" The classifier leans to **{likeliest}** ({share(classes[likeliest])}): take this as undecided."
    return sentence


def absence(modality: Modality, reason: str) -> str:
    """Say that a modality is not there and why."""
    return f"{NAMES[modality]} could not be judged: {plain(reason)}."


def step(name: str) -> str:
    """Return the label of an extraction step."""
    return STEPS.get(name, name)


def plain(text: str) -> str:
    """Escape what Markdown would read as markup, for texts that may quote a clip or a file."""
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~$:-])", r"\\\1", text)


def map_legend(*, words: bool, solvers: Collection[str] = (RELAXED,)) -> str:
    """Explain the alignment maps of one or both ways to solve the transport problem."""
    rows = "word" if words else "moment of the face"
    legend = "Moments run from left to right; stronger green is a closer fit, in content and in time."
    if RELAXED in solvers:
        legend += f" Relaxed: a :violet[violet] cell pairs a moment with the {rows} that it fits best."
    if SINKHORN in solvers:
        legend += (
            f" Sinkhorn: every {rows} must receive the same weight in all, so a moment may be shared out; stronger "
            ":violet[violet] is a larger share, and cells under a tenth of a moment's largest share are left out."
        )
    if words:
        legend += " Outlines show when a word is spoken."
    return legend + " Blank columns are moments without a face or a voice."


def map_summary(table: AlignmentTable) -> str:
    """Name an alignment map for who cannot see it."""
    return (
        f"{table.source} aligned to {table.anchor.lower()} ({table.solver}): {len(table.plan)} pairs over "
        f"{table.duration:.0f} seconds"
    )


def map_note(table: AlignmentTable) -> str:
    """Say what a plan pays and, for a long clip, what a cell stands for."""
    note = f"Cost of the plan: {table.cost:.3f}."
    if table.averaged > 1:
        note += f" The clip is long: each shade is the mean of {table.averaged} neighbouring steps."
    return note


def missing_from(modalities: Collection[Modality], available: Collection[Modality]) -> str:
    """Say which modalities of a subset are absent; empty when none is."""
    absent = [NAMES[modality].lower() for modality in DISPLAY_ORDER if modality in set(modalities) - set(available)]
    return f"no {join(absent, by='or')} in this clip" if absent else ""
