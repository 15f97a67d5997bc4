"""A result as one self-contained HTML file: no script, no network, every text escaped by Jinja2.

Charts are SVG images inside the file: an image cannot run scripts, load anything or clash with the names of another
one. The content security policy of the file forbids everything else.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from alignmamba.modality import SUBSETS, Modality
from app.export import images
from app.export.templating import render
from app.i18n import wording
from app.i18n.messages import translated
from app.i18n.translate import _, language
from app.services.analysis import Analysis

if TYPE_CHECKING:
    from alignmamba.prediction import Prediction

FAINTEST, STRONGEST = 0.06, 0.65  # opacity of a word's colour; the stronger leaves the word readable


def html(analysis: Analysis, used: Collection[Modality]) -> str:
    """Write a report in the current language.

    Args:
        analysis: Of a clip.
        used: The subset that is described in full; empty where there is nothing to predict from.
    """
    features, prediction = analysis.features, analysis.predictions.get(frozenset(used))
    document = analysis.document(used or None)
    return render(
        "report.html",
        language=language(),
        labels=_labels(),
        clip=document["clip"],
        caution=wording.caution(),
        absent=[
            _("{name} could not be used: {reason}.").format(
                name=wording.name(modality), reason=translated(features.modality(modality).absent)
            )
            for modality in wording.DISPLAY_ORDER
            if modality not in analysis.available
        ],
        verdict="" if prediction is None else _verdict(prediction),
        score="" if prediction is None else wording.signed(prediction.score),
        interval="" if prediction is None else _interval(prediction),
        words=list(_words(analysis, prediction)),
        charts=[(image.alt, _inline(image)) for image in images.render(analysis, used)],
        subsets=[_subset(analysis, subset) for subset in SUBSETS],
        notes=[translated(note) for note in features.notes],
        facts=_facts(analysis, prediction, document),
    )


def _labels() -> dict[str, str]:
    """Return the report's headings and labels."""
    return {
        "transcript": _("Transcript"),
        "key": _("▲ on blue raised the score, ▼ on orange lowered it"),
        "charts": _("Charts"),
        "subsets": _("Every combination of words, voice and face"),
        "used": _("Predicted from"),
        "score": _("Score"),
        "class": _("Class"),
        "remark": _("Remark"),
        "notes": _("Notes"),
        "facts": _("How it was made"),
        "synthetic": _("synthetic clip"),
        "nothing": _("There is nothing to predict from in this clip."),
    }


def _verdict(prediction: Prediction) -> str:
    """Describe the prediction; the sentence is Markdown, whose asterisks are removed."""
    sentence = wording.verdict(prediction.score, prediction.classes, prediction.used)
    return f"{sentence} {wording.undecided(prediction)}".strip().replace("**", "")


def _interval(prediction: Prediction) -> str:
    if prediction.interval is None:
        return ""
    low, high = map(wording.signed, prediction.interval)
    return _("{share:.0%} of held-out clips had their true score in such an interval: {low} to {high}").format(
        share=prediction.interval_coverage, low=low, high=high
    )


def _words(analysis: Analysis, prediction: Prediction | None) -> Iterator[dict[str, str]]:
    """Yield each word with a sign and a style for its contribution."""
    words = analysis.features.words
    values = np.zeros(len(words))
    if prediction is not None and Modality.LANGUAGE in prediction.used:
        values = prediction.contributions[Modality.LANGUAGE]
    strongest = float(np.abs(values).max(initial=0.0)) or 1.0
    for word, value in zip(words, values, strict=True):
        share = float(value) / strongest
        colour = "43,127,196" if share > 0 else "217,95,14"
        yield {
            "text": word.text,
            "sign": "" if abs(share) < FAINTEST else "▲" if share > 0 else "▼",
            "style": f"background: rgba({colour},{abs(share) * STRONGEST:.3f})",
            "hint": _("{start:.2f} to {end:.2f} s").format(start=word.start, end=word.end),
        }


def _inline(image: images.ChartImage) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(image.svg().encode()).decode()


def _subset(analysis: Analysis, subset: frozenset[Modality]) -> dict[str, str]:
    prediction = analysis.predictions.get(subset)
    row = {"name": wording.subset(subset), "remark": wording.missing_from(subset, available=analysis.available)}
    if prediction is None:
        return {**row, "score": "", "class": ""}
    return {**row, "score": wording.signed(prediction.score), "class": wording.score_class(prediction.score)}


def _facts(analysis: Analysis, prediction: Prediction | None, document: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the facts that are needed to reproduce the result."""
    facts = [
        (_("Checkpoint"), document["checkpoint"]),
        (_("Length of the clip"), _("{seconds:.1f} s").format(seconds=analysis.features.duration)),
        (_("SHA-256 of the clip"), document["clip"]["sha256"]),
        (_("Version of the result"), document["version"]),
    ]
    if prediction is not None:
        facts.append((_("Scan"), prediction.backend))
    steps = [
        (wording.step(name), _("{seconds:.2f} s").format(seconds=seconds))
        for name, seconds in analysis.features.step_seconds.items()
    ]
    return facts + steps
