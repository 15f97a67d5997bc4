"""Names and sentences of the screen, built from results."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Literal

from alignmamba.modality import Modality
from alignmamba.prediction import SCORE_LIMIT, Prediction, class_of
from app.i18n.messages import translated
from app.i18n.translate import N_, _
from extractors.messages import Message

# Names of the three modalities on screen: `name` translates.
NAMES = {Modality.AUDIO: N_("Voice"), Modality.VIDEO: N_("Face"), Modality.LANGUAGE: N_("Words")}
ICONS = {
    Modality.AUDIO: ":material/graphic_eq:",
    Modality.VIDEO: ":material/face:",
    Modality.LANGUAGE: ":material/chat_bubble:",
}
# Words first: they are the anchor, and most readers look for them first.
DISPLAY_ORDER = (Modality.LANGUAGE, Modality.AUDIO, Modality.VIDEO)

# The seven degrees of the [-3, 3] scale, as CMU-MOSI's annotators were given them, and the class of each.
DEGREES = {
    -3: N_("very negative"),
    -2: N_("negative"),
    -1: N_("slightly negative"),
    0: N_("neutral"),
    1: N_("slightly positive"),
    2: N_("positive"),
    3: N_("very positive"),
}

# The steps of `extractors.pipeline.STEPS`.
STEPS = {
    "sound": N_("Decoding the sound"),
    "voice": N_("Measuring the voice (openSMILE)"),
    "face": N_("Tracking the face (MediaPipe)"),
    "words": N_("Recognising the words (Whisper)"),
    "language": N_("Encoding the words (MiniLM)"),
    "reread": N_("Encoding the corrected words (MiniLM)"),
}

# The two ways to solve the transport problem.
Solver = Literal["relaxed", "Sinkhorn"]
RELAXED: Solver = N_("relaxed")
SINKHORN: Solver = N_("Sinkhorn")


def caution() -> str:
    """Return the disclaimer that goes with every score."""
    return _("An estimate of how a clip comes across, often wrong, and no statement about what a person feels.")


def name(modality: Modality) -> str:
    """Return a modality's name, with a capital letter."""
    return _(NAMES[modality])


def signed(number: float) -> str:
    """Format a number with its sign and two decimals; what rounds to zero is +0.00."""
    return f"{round(number, 2) + 0.0:+.2f}"


def share(probability: float) -> str:
    """Format a probability in per cent, never as certain."""
    if probability > 0.99:
        return _("over 99%")
    return _("under 1%") if probability < 0.01 else f"{probability:.0%}"


def degree(score: float) -> str:
    """Return the name of a score in [-3, 3] on the seven-degree scale."""
    return _(DEGREES[_step(score)])


def _step(score: float) -> int:
    return round(max(-SCORE_LIMIT, min(SCORE_LIMIT, score)))


def join(names: Collection[str], *, by: str | None = None) -> str:
    """Join names as in a sentence: "a", "a and b", "a, b and c"."""
    *head, last = names
    separator, final = _(", "), _(" {conjunction} ").format(conjunction=by or _("and"))
    return f"{separator.join(head)}{final}{last}" if head else last


def subset(modalities: Collection[Modality]) -> str:
    """Return the name of a set of modalities in display order, as in "Words + Voice"."""
    return " + ".join(name(modality) for modality in DISPLAY_ORDER if modality in modalities)


def likely_class(classes: Mapping[str, float]) -> str:
    """Return the likeliest class with its probability, as in "positive 71%": of the probabilities, not the score."""
    likeliest = max(classes, key=classes.__getitem__)
    return f"{_(likeliest)} {share(classes[likeliest])}"


def score_class(score: float) -> str:
    """Return the class that is shown beside a score: always that of the score."""
    return _(class_of(score))


def score_alt(score: float) -> str:
    """Return the alt text of a gauge."""
    return _("Score {score} on a scale from -3 to +3").format(score=signed(score))


def classes_alt(classes: Mapping[str, float]) -> str:
    """Return the alt text of a chart of class probabilities."""
    return _("Class probabilities, {likeliest}").format(likeliest=likely_class(classes))


def verdict(score: float, classes: Mapping[str, float], used: Collection[Modality]) -> str:
    """Describe a prediction in plain words.

    Args:
        score: Sentiment in [-3, 3].
        classes: Probability of each class.
        used: Modalities that the model predicted from.

    Returns:
        One or two sentences; the second when another class than the score's is the likeliest.
    """
    modalities = join([name(modality).lower() for modality in DISPLAY_ORDER if modality in used])
    likeliest = max(classes, key=classes.__getitem__)
    sentence = _("From {modalities}, this clip comes across as **{degree}**.").format(
        modalities=modalities, degree=degree(score)
    )
    if likeliest != class_of(score):
        sentence += " " + _(
            "The score decides the class, yet {likeliest} is the likeliest class ({share}): take this as undecided."
        ).format(likeliest=_(likeliest), share=share(classes[likeliest]))
    return sentence


def undecided(prediction: Prediction) -> str:
    """Say that the sign of a score cannot be told; empty where it can, or where there is no interval."""
    if not prediction.undecided or prediction.interval is None:
        return ""
    low, high = map(signed, prediction.interval)
    return _("I cannot tell: the interval covers both signs, {low} to {high}.").format(low=low, high=high)


def absence(modality: Modality, reason: Message) -> str:
    """Say that a modality is absent and why."""
    return _("{name} could not be used: {reason}.").format(name=name(modality), reason=plain(translated(reason)))


def step(name: str) -> str:
    """Return the label of an extraction step."""
    return _(STEPS.get(name, name))


def plain(text: str) -> str:
    """Escape Markdown in a text that may quote a clip or a file."""
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~$:-])", r"\\\1", text)


def bullets(points: Iterable[str]) -> str:
    """Return a Markdown list."""
    return "\n".join(f"- {point}" for point in points)


def missing_from(modalities: Collection[Modality], *, available: Collection[Modality]) -> str:
    """Say which modalities of a subset are absent; empty when none is."""
    absent = [name(modality).lower() for modality in DISPLAY_ORDER if modality in set(modalities) - set(available)]
    return _("no {absent} in this clip").format(absent=join(absent, by=_("or"))) if absent else ""


def distance(modality: Modality, *, anchor: Modality, mmd: float, a_distance: float | None) -> str:
    """Describe how similar an aligned modality and its anchor are.

    Args:
        modality: The aligned one.
        anchor: What it was aligned to.
        mmd: Squared MMD, in [0, 2].
        a_distance: Proxy A-distance in [0, 2]; None where there are too few steps.
    """
    pair = {"name": name(modality), "anchor": name(anchor).lower()}
    spread = _("{name} and {anchor}: MMD² is {mmd:.3f}.").format(mmd=mmd, **pair)
    if a_distance is None:
        return spread + " " + _("There are too few words for an A-distance.")
    right = 0.5 + a_distance / 4  # 2 (1 - 2 error), turned around
    if a_distance < 0.5:
        separable = _("they can hardly be told apart")
    else:
        separable = _("they can partly be told apart") if a_distance < 1.5 else _("they are easily told apart")
    classifier = _("A linear classifier is right in {share} of the cases (A-distance {distance:.2f}): {separable}.")
    return f"{spread} {classifier.format(share=share(right), distance=a_distance, separable=separable)}"
