"""What is drawn over a clip, on the player and in the file that is exported."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from alignmamba.modality import Modality
from alignmamba.prediction import SCORE_LIMIT
from app.charts.scores import NEGATIVE, PAIRED, POSITIVE
from app.i18n.translate import _
from app.services.analysis import Analysis
from extractors.schema import FACE_BOX, ClipFeatures, Word

if TYPE_CHECKING:
    from alignmamba.prediction import Prediction
    from extractors.vision.overlay.plan import Caption, Overlay

CAPTION_LETTERS = 72  # wide ones counted twice; a longer sentence is shown in parts
TRACK_NOTES = ("several_audio_tracks", "audio_track_asked")
MAX_WORD = 40  # letters of a word, before an ellipsis


def face(features: ClipFeatures) -> dict[str, list[object]]:
    """Return where the face is: seconds, and per second [x, y, width, height] in shares of the frame, or None."""
    tracks = {track.name: track for track in features.tracks}
    if not set(FACE_BOX) <= tracks.keys():
        return {"seconds": [], "boxes": []}
    columns = zip(*(tracks[name].values.tolist() for name in FACE_BOX), strict=True)
    boxes = [[round(value, 4) for value in box] if all(map(math.isfinite, box)) else None for box in columns]
    return {"seconds": [round(second, 3) for second in tracks[FACE_BOX[0]].seconds.tolist()], "boxes": boxes}


def running_score(features: ClipFeatures, prediction: Prediction) -> dict[str, list[object]]:
    """Return the score after each step of the anchor; a model that reads both ways has the whole clip's throughout."""
    running = prediction.running_scores
    if running is None:
        return {"seconds": [0.0], "values": [round(prediction.score, 3)]}
    anchor = features.modality(Modality(prediction.anchor))
    known = [
        (round(end, 3), round(value, 3))
        for end, value in zip(anchor.end.tolist(), running.tolist(), strict=True)
        if math.isfinite(value)
    ]
    return {"seconds": [end for end, _value in known], "values": [value for _end, value in known]}


def plan(analysis: Analysis, prediction: Prediction) -> Overlay:
    """Return all that is drawn over a clip that is exported, in the current language.

    Args:
        analysis: Of the clip.
        prediction: Whose running score is drawn.
    """
    from extractors.vision.overlay.plan import Overlay

    features = analysis.features
    box, score = face(features), running_score(features, prediction)
    known = [[math.nan] * 4 if each is None else each for each in box["boxes"]]
    about = _("Face, running score (from -3 to +3) and captions were added by AlignMamba.")
    left_out = _("{count} caption(s) are left out: no font here has their letters.")
    return Overlay(
        duration=float(features.duration),
        face_seconds=np.array(box["seconds"], float),
        boxes=np.array(known, float).reshape(-1, 4),
        outlines=features.outlines,
        score_seconds=np.array(score["seconds"], float),
        scores=np.array(score["values"], float),
        limit=float(SCORE_LIMIT),
        face=_colour(PAIRED),
        negative=_colour(NEGATIVE),
        positive=_colour(POSITIVE),
        captions=tuple(_captions(analysis)),
        about=about,
        about_left_out=f"{about} {left_out}",
    )


def sound_track(analysis: Analysis) -> int | None:
    """Return the sound track that was analysed, from 1; None where there is no choice."""
    notes = analysis.features.notes
    return next((int(note.values["track"]) for note in notes if note.code in TRACK_NOTES), None)


def _captions(analysis: Analysis) -> Iterator[Caption]:
    """Yield the sentences, long ones in parts, each until its last word ends or the next begins."""
    from extractors.vision.overlay.plan import Caption

    words = analysis.features.words
    spoken = [part for each in analysis.sentences for part in _parts(words[each.first : each.last + 1])]
    for part, following in itertools.zip_longest(spoken, spoken[1:]):
        end = max(word.end for word in part)
        text = " ".join(_shortened(word.text) for word in part)
        yield Caption(text=text, start=part[0].start, end=end if following is None else min(end, following[0].start))


def _parts(words: Sequence[Word]) -> Iterator[list[Word]]:
    """Yield words in parts of about the same length: two lines on most clips."""
    ends = list(itertools.accumulate(map(_room, words)))
    count = math.ceil(ends[-1] / CAPTION_LETTERS)
    middles = [end - _room(word) / 2 for end, word in zip(ends, words, strict=True)]
    placed = zip(words, middles, strict=True)
    for _part, members in itertools.groupby(placed, key=lambda each: int(count * each[1] / ends[-1])):
        yield [word for word, _middle in members]


def _room(word: Word) -> int:
    """Return how many letters wide a word is, with the space behind it."""
    text = _shortened(word.text)
    return 1 + len(text) + sum(ord(letter) > 0x2E7F for letter in text)  # from there on letters are square


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_WORD else f"{text[:MAX_WORD]}…"


def _colour(css: str) -> tuple[int, int, int]:
    """Return red, green and blue of a colour as the charts have it.

    >>> _colour("#9b5de5"), _colour("rgba(217,95,14,1)")
    ((155, 93, 229), (217, 95, 14))
    """
    if css.startswith("#"):
        red, green, blue = bytes.fromhex(css[1:])
    else:
        red, green, blue = map(int, re.findall(r"\d+", css)[:3])
    return red, green, blue
