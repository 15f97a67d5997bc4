"""Sentences and annotation files of a real result, opened again; a clip of ten minutes stays fast."""

from __future__ import annotations

import csv
import dataclasses
import io
import time
import zipfile

import numpy as np
import pandas as pd
import pytest
from praatio import textgrid
from pympi import Elan

from alignmamba.modality import Modality
from app.charts import sentence_table
from app.export import annotations, downloads, sentences_csv
from app.i18n.translate import spoken_in
from app.services import samples, truth
from app.services.analysis import Analysis, predict_all
from app.services.errors import PlainError
from extractors.language.subtitles import parse
from extractors.schema import ModalityFeatures
from extractors.storage.annotations.reading import read
from extractors.storage.annotations.tiers import Interval, Tier

TIMES = 75  # of an 8-second sample: ten minutes


@pytest.fixture(scope="module")
def result() -> Analysis:
    found = samples.analysed(samples.listed()[0])
    words = list(found.features.words)
    words[3] = dataclasses.replace(words[3], text="evening.")  # whether one is heard depends on the processor
    features = dataclasses.replace(found.features, words=tuple(words))
    return predict_all(found.clip, features, began=0.0, reused=False)


@pytest.fixture(scope="module")
def long(result) -> Analysis:
    """The sample over and over, for ten minutes."""
    features, seconds = result.features, 8.0

    def part(steps: ModalityFeatures) -> ModalityFeatures:
        moved = {
            name: np.concatenate([getattr(steps, name) + seconds * time for time in range(TIMES)])
            for name in ("start", "end")
        }
        same = {name: np.concatenate([getattr(steps, name)] * TIMES) for name in ("values", "valid")}
        return ModalityFeatures(**moved, **same)

    words = tuple(
        dataclasses.replace(word, start=word.start + seconds * time, end=word.end + seconds * time)
        for time in range(TIMES)
        for word in features.words
    )
    parts = {name: part(features.modality(name)) for name in ("audio", "video", "language")}
    rows = np.pad(features.voice_rows, ((0, round(100 * seconds) - len(features.voice_rows)), (0, 0)), mode="edge")
    tiled = dataclasses.replace(
        features,
        **parts,
        words=words,
        duration=seconds * TIMES,
        tracks=(),
        outlines=None,
        voice_rows=np.concatenate([rows] * TIMES),
        voice_states=np.concatenate([features.voice_states] * TIMES),
    )
    return predict_all(result.clip, tiled, began=0.0, reused=False)


def test_each_sentence_has_a_row_with_what_moved_it(result):
    columns = result.scored_sentences(result.available)
    assert list(columns) == [result.available, *(frozenset({m}) for m in ("language", "audio", "video"))]
    listed = sentence_table.rows(result.sentences, columns, result.features.words)
    assert listed[0].sentence.text == "What a wonderful evening."
    assert len(listed) == len(result.sentences) >= 2
    for row in listed:
        assert row.first.interval[0] <= row.first.score <= row.first.interval[1]
        own = row.first.contributions["language"]
        assert len(own) == row.sentence.last - row.sentence.first + 1
        assert abs(row.words[0][1]) == pytest.approx(np.abs(own).max())
        assert row.moved[Modality.AUDIO] == pytest.approx(row.first.contributions["audio"].sum(), abs=1e-5)
    assert "▲" in sentence_table.what_moved(listed[0])
    used = frozenset({Modality.LANGUAGE, Modality.VIDEO})
    assert list(result.scored_sentences(used)) == [used, *(frozenset({m}) for m in ("language", "video"))]


def test_ten_minutes_of_sentences_are_fast(long):
    began = time.process_time()
    columns = long.scored_sentences(long.available)
    data = sentences_csv.to_csv(long, long.available)
    took = time.process_time() - began
    assert len(next(iter(columns.values()))) == len(long.sentences) >= 2 * TIMES
    assert len(data.splitlines()) == len(long.sentences) + 1
    assert took < 15, f"{took:.1f} s of processor time"
    began = time.process_time()
    long.scored_sentences(long.available)
    assert time.process_time() - began < 0.05, "kept"


def test_the_csv_has_every_number(result):
    rows = list(csv.DictReader(io.StringIO(sentences_csv.to_csv(result, result.available).decode("utf-8-sig"))))
    scores = result.sentence_scores(result.available)
    assert [float(row["score_avl"]) for row in rows] == pytest.approx([score.score for score in scores], abs=1e-4)
    assert {"low_avl", "high_avl", "class_avl", "score_l", "score_a", "score_v", "moved_by_audio"} <= rows[0].keys()


def test_every_annotation_file_opens_again(result, tmp_path):
    files = {download.file: download.make for download in downloads.downloads(result, result.available)}
    (tmp_path / "tiers.eaf").write_bytes(files["tiers.eaf"]())
    eaf = Elan.Eaf(str(tmp_path / "tiers.eaf"))
    assert {"words", "sentences", "score_avl", "interval_avl", "score_l", "class_avl"} <= set(eaf.tiers)
    assert len(eaf.get_annotation_data_for_tier("words")) == len(result.features.words)
    (tmp_path / "tiers.TextGrid").write_bytes(files["tiers.TextGrid"]())
    grid = textgrid.openTextgrid(str(tmp_path / "tiers.TextGrid"), includeEmptyIntervals=False)
    assert set(grid.tierNames) == set(eaf.tiers)
    labels = files["labels.txt"]().decode().splitlines()
    assert len(labels) == len(result.sentences)
    assert all(len(line.split("\t")) == 3 for line in labels)
    assert files["speakers.rttm"]().decode().startswith("SPEAKER ")
    heard = parse(files["scores.vtt"]().decode())
    assert [word.text for word in heard.words] == [word.text for word in result.features.words]
    with zipfile.ZipFile(io.BytesIO(files["tables-parquet.zip"]())) as archive:
        tables = {name: pd.read_parquet(io.BytesIO(archive.read(name))) for name in archive.namelist()}
    assert len(tables["words.parquet"]) == len(result.features.words)
    assert len(tables["audio.parquet"]) == len(result.features.audio.start)
    assert tables["sentences.parquet"]["score_avl"].between(-3, 3).all()
    with zipfile.ZipFile(io.BytesIO(files["face-openface.zip"]())) as archive:
        assert sorted(archive.namelist()) == ["README.txt", "face.csv"]


def test_in_another_language_a_file_s_names_stay(result):
    with spoken_in("zh"):
        names = [tier.name for tier in annotations.tiers(result, result.available)]
    assert names == [tier.name for tier in annotations.tiers(result, result.available)]


def test_own_scores_read_back_agree_with_themselves(result):
    tiers = {tier.name: tier for tier in read(annotations.elan(result, result.available))}
    found = truth.compare(result, tiers["score_avl"], result.available)
    assert found.agreement.error < 0.006
    assert found.agreement.same_class > 0.99
    assert found.left_out == 0
    with pytest.raises(PlainError, match="No label"):
        truth.compare(result, tiers["words"], result.available)


def test_labels_that_are_no_scores_are_left_out_and_counted(result):
    labels = ["+2", "positive", "maybe", "99", "-1,5"]
    spans = [Interval(start=place + 0.5, end=place + 1.5, text=text) for place, text in enumerate(labels)]
    outside = Interval(start=1000.0, end=1001.0, text="+1")
    found = truth.compare(result, Tier(name="mine", intervals=(*spans, outside)), result.available)
    assert [row.truth for row in found.rows] == [2.0, 1.5, -1.5]
    assert found.left_out == 3
    assert found.agreement.count == 3
    assert -1 <= found.agreement.alpha <= 1
