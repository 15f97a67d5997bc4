"""A result as one HTML file that needs nothing else: no script, no network, every text escaped by Jinja2.

Charts are SVG inside the file, each as an image of its own: what stands in an image cannot run, load or clash with
names of another. The file's own policy forbids all else.
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
    """Write a report in the language that is spoken.

    Args:
        analysis: Of a clip.
        used: The subset that is told in full; empty where nothing could be judged.
    """
    features, prediction = analysis.features, analysis.predictions.get(frozenset(used))
    document = analysis.document(used or None)
    return render(
        "report.html",
        language=language(),
        says=_labels(),
        clip=document["clip"],
        caution=wording.caution(),
        absent=[
            _("{name} could not be judged: {reason}.").format(
                name=wording.name(modality), reason=translated(features.modality(modality).absent)
            )
            for modality in wording.DISPLAY_ORDER
            if modality not in analysis.available
        ],
        verdict="" if prediction is None else _verdict(prediction),
        score="" if prediction is None else wording.signed(prediction.score),
        interval="" if prediction is None else _interval(prediction),
        words=list(_words(analysis, prediction)),
        pictures=[(picture.alt, _inline(picture)) for picture in images.draw(analysis, used)],
        subsets=[_subset(analysis, subset) for subset in SUBSETS],
        notes=[translated(note) for note in features.notes],
        facts=_facts(analysis, prediction, document),
    )


def _labels() -> dict[str, str]:
    """Return the report's own texts."""
    return {
        "transcript": _("Transcript"),
        "key": _("▲ on blue raised the score, ▼ on orange lowered it"),
        "pictures": _("Pictures"),
        "subsets": _("Every combination of words, voice and face"),
        "judged_by": _("Judged by"),
        "score": _("Score"),
        "class": _("Class"),
        "remark": _("Remark"),
        "notes": _("Notes"),
        "facts": _("How it was made"),
        "synthetic": _("synthetic clip"),
        "nothing": _("There is nothing to judge in this clip."),
    }


def _verdict(prediction: Prediction) -> str:
    """Say the prediction; the sentence comes as Markdown, whose stars mean nothing here."""
    return wording.verdict(prediction.score, prediction.classes, prediction.used).replace("**", "")


def _interval(prediction: Prediction) -> str:
    if prediction.interval is None:
        return ""
    low, high = map(wording.signed, prediction.interval)
    return _("{share:.0%} of held-out clips had their true score in such an interval: {low} to {high}").format(
        share=prediction.interval_coverage, low=low, high=high
    )


def _words(analysis: Analysis, prediction: Prediction | None) -> Iterator[dict[str, str]]:
    """Give each word its sign and its style, by what it did to the score."""
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


def _inline(picture: images.Picture) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(picture.svg().encode()).decode()


def _subset(analysis: Analysis, subset: frozenset[Modality]) -> dict[str, str]:
    prediction = analysis.predictions.get(subset)
    row = {"name": wording.subset(subset), "remark": wording.missing_from(subset, analysis.available)}
    if prediction is None:
        return {**row, "score": "", "class": ""}
    likeliest = max(prediction.classes, key=prediction.classes.__getitem__)
    chance = wording.share(prediction.classes[likeliest])
    return {**row, "score": wording.signed(prediction.score), "class": f"{_(likeliest)} {chance}"}


def _facts(analysis: Analysis, prediction: Prediction | None, document: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what someone needs to make it again."""
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
