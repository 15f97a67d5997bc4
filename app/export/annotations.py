"""Annotation files of a result: tiers for ELAN and Praat, labels, speakers, captions with scores, tables."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import pandas as pd

from alignmamba.modality import Modality, letters
from alignmamba.prediction import class_of
from app.charts.sentence_table import SentenceRow
from app.export import sentences_csv
from app.i18n.wording import DISPLAY_ORDER, signed
from app.services.analysis import Analysis
from extractors.storage.annotations import lines, openface
from extractors.storage.annotations.tiers import Interval, Tier, apart

NOBODY = "unknown"  # speaker of a sentence whose speaker nobody named


def tiers(analysis: Analysis, used: frozenset[Modality]) -> list[Tier]:
    """Return words, sentences, speakers and scores as tiers; names of tiers stay the same in every language.

    Args:
        analysis: Of a clip in which somebody speaks.
        used: The subset whose scores come first.
    """
    listed = sentences_csv.table(analysis, used)
    words = [Interval(start=word.start, end=word.end, text=word.text) for word in analysis.features.words]
    found = [
        Tier(name="words", intervals=tuple(words)),
        Tier(name="sentences", intervals=tuple(_spans(listed, lambda row: row.sentence.text))),
    ]
    if any(row.sentence.speaker for row in listed):
        found.append(Tier(name="speakers", intervals=tuple(turns(analysis))))
    for subset in listed[0].scores:
        short = letters(subset)
        found.append(Tier(name=f"score_{short}", intervals=tuple(_spans(listed, _score_of(subset)))))
        if any(score is not None and score.interval for row in listed for score in [row.scores[subset]]):
            found.append(Tier(name=f"interval_{short}", intervals=tuple(_spans(listed, _interval_of(subset)))))
    first = next(iter(listed[0].scores))
    found.append(Tier(name=f"class_{letters(first)}", intervals=tuple(_spans(listed, _class_of(first)))))
    return found


def _spans(listed: list[SentenceRow], label: Any) -> Iterator[Interval]:
    """Yield a labelled interval for each sentence whose label is not empty."""
    for row in listed:
        if text := label(row):
            yield Interval(start=row.sentence.start, end=row.sentence.end, text=text)


def _score_of(subset: frozenset[Modality]) -> Any:
    return lambda row: "" if (score := row.scores[subset]) is None else signed(score.score)


def _class_of(subset: frozenset[Modality]) -> Any:
    return lambda row: "" if (score := row.scores[subset]) is None else class_of(score.score)


def _interval_of(subset: frozenset[Modality]) -> Any:
    def label(row: SentenceRow) -> str:
        score = row.scores[subset]
        return "" if score is None or score.interval is None else " ".join(map(signed, score.interval))

    return label


def turns(analysis: Analysis) -> list[Interval]:
    """Return who speaks when, as labelled intervals."""
    return [Interval(start=turn.start, end=turn.end, text=turn.speaker or NOBODY) for turn in analysis.turns]


def elan(analysis: Analysis, used: frozenset[Modality]) -> bytes:
    """Write an ELAN file that names the clip's file."""
    from extractors.storage.annotations.elan import to_elan

    clip = analysis.clip
    return to_elan(tiers(analysis, used), duration=analysis.features.duration, media=clip.title, mime=clip.mime)


def praat(analysis: Analysis, used: frozenset[Modality]) -> bytes:
    """Write a TextGrid."""
    from extractors.storage.annotations.textgrid import to_textgrid

    return to_textgrid(tiers(analysis, used), duration=analysis.features.duration)


def audacity(analysis: Analysis, used: frozenset[Modality]) -> bytes:
    """Write a label track of the sentences, each with its score."""
    listed = sentences_csv.table(analysis, used)
    score = _score_of(used)
    labels = _spans(listed, lambda row: f"{score(row)} {row.sentence.text}".strip())
    return lines.to_audacity(apart(labels, duration=analysis.features.duration)).encode()


def rttm(analysis: Analysis) -> bytes:
    """Write the speakers' turns."""
    return lines.to_rttm(apart(turns(analysis), duration=analysis.features.duration), file=analysis.clip.title).encode()


def captions(analysis: Analysis, used: frozenset[Modality]) -> bytes:
    """Write WebVTT: one cue a sentence, its score first."""
    cues = []
    for row in sentences_csv.table(analysis, used):
        sentence, score = row.sentence, row.first
        shown = "–" if score is None else signed(score.score)
        if score is not None and score.interval is not None:
            shown += ", {} / {}".format(*map(signed, score.interval))
        cues.append((Interval(start=sentence.start, end=sentence.end, text=sentence.text), sentence.speaker, shown))
    return lines.to_scored_webvtt(cues).encode()


def face(analysis: Analysis) -> bytes:
    """Zip the face's table, with columns named as OpenFace's, and a note on what they are and what is left out."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("face.csv", openface.to_openface(analysis.features))
        archive.writestr("README.txt", openface.NOTE)
    return packed.getvalue()


def parquet(analysis: Analysis, used: frozenset[Modality]) -> bytes:
    """Zip Parquet tables: sentences, words, and the steps of each modality."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, table in _tables(analysis, used):
            archive.writestr(f"{name}.parquet", table.to_parquet(index=False))
    return packed.getvalue()


def _tables(analysis: Analysis, used: frozenset[Modality]) -> Iterator[tuple[str, pd.DataFrame]]:
    features = analysis.features
    if analysis.sentences:
        yield "sentences", pd.DataFrame([_sentence(row) for row in sentences_csv.table(analysis, used)])
        yield (
            "words",
            pd.DataFrame([(word.text, word.start, word.end, word.speaker) for word in features.words]).set_axis(
                ["text", "start_s", "end_s", "speaker"], axis=1
            ),
        )
    for modality in DISPLAY_ORDER:
        part, schema = features.modality(modality), getattr(features.schema, modality)
        if len(part.values):
            columns = schema.columns or [f"{modality}_{index}" for index in range(schema.dim)]
            steps = pd.DataFrame({"start_s": part.start, "end_s": part.end, "valid": part.valid})
            yield str(modality), pd.concat([steps, pd.DataFrame(part.values, columns=list(columns))], axis=1)


def _sentence(row: SentenceRow) -> dict[str, object]:
    sentence = row.sentence
    cells: dict[str, object] = {"start_s": sentence.start, "end_s": sentence.end, "words": sentence.text}
    cells["speaker"] = sentence.speaker
    for subset, score in row.scores.items():
        low, high = (None, None) if score is None or score.interval is None else score.interval
        short = letters(subset)
        cells |= {f"score_{short}": score and score.score, f"low_{short}": low, f"high_{short}": high}
    return cells | {f"moved_by_{modality}": value for modality, value in row.moved.items()}
