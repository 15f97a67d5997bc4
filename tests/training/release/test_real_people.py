"""Questions to real clips, asked of made-up ones."""

import csv

import numpy as np
import pytest

from tests.training.clips import features, trained
from training.data import real_clips
from training.data.real_clips import RealClip
from training.release import real_people


def _clip(name, emotion=None, **shape):
    return RealClip(name=name, said=None, emotion=emotion, features=features(rng=np.random.default_rng(3), **shape))


def test_every_question_counts_its_clips():
    model = trained()
    real = [
        _clip("grid/a"),
        _clip("expressive/mead_sad_silent", "sad", audio=0, words=0),
        _clip("expressive/mead_surprised_silent", "surprised", audio=0, words=0),
        _clip("talking/b", video=0),
    ]
    with_bias = {}
    for bias in (0.0, -5.0):
        model.model.heads.score.bias.fill_(bias)
        with_bias[bias] = {row["question"]: row for row in real_people.measure(model, real)}
    assert set(with_bias[0.0]) == set(with_bias[-5.0])
    sad = next(row for name, row in with_bias[-5.0].items() if name.startswith("acted emotions, video alone"))
    assert (sad["n"], sad["right"]) == (1, 1)
    assert sad["per_clip"][0]["modalities"] == "v" and sad["per_clip"][0]["score"] == -3
    grid = [name for name in with_bias[-5.0] if name.startswith("GRID")]
    assert len(grid) == 4 and all(with_bias[-5.0][name]["right"] == 0 for name in grid)
    scores = {name: row for name, row in with_bias[0.0].items() if name.startswith("no label")}
    assert sorted(row["n"] for row in scores.values()) == [1, 2]  # one of the two has no face
    assert all(row["right"] is None for row in scores.values())


def test_neutral_is_a_band_around_zero():
    model = trained()
    for parameter in model.model.heads.score.parameters():
        parameter.zero_()
    (row, *_) = real_people.measure(model, [_clip("grid/a")])
    assert (row["n"], row["right"]) == (1, 1)
    model.model.heads.score.bias.fill_(real_people.NEUTRAL_SCORE + 0.01)
    (row, *_) = real_people.measure(model, [_clip("grid/a")])
    assert row["right"] == 0


def test_names_and_true_words_are_read(tmp_path, monkeypatch):
    folder = tmp_path / "clips"
    (folder / "expressive").mkdir(parents=True)
    paths = ["clips/expressive/mead_sad_silent.mp4", "clips/expressive/other.mp4"]
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "transcript"])
        writer.writerows([[paths[0], ""], [paths[1], "word0 word9 word2"]])
    for path in paths:
        (tmp_path / path).write_bytes(path.encode())
    monkeypatch.setattr(
        real_clips.pipeline, "extract", lambda path, cache, feature_set: features()
    )  # decoding is tested elsewhere
    sad, other = real_clips.read(tmp_path, tmp_path / "cache", encoder="minilm", feature_set="steps")
    assert (sad.name, sad.kind, sad.emotion, sad.said) == ("expressive/mead_sad_silent", "expressive", "sad", None)
    assert other.emotion is None and sad.with_true_words(encoder="minilm") is sad.features
    corrected = other.with_true_words(encoder="minilm")
    assert [word.text for word in corrected.words] == ["word0", "word9", "word2"]
    assert [word.start for word in corrected.words] == [0.0, 1.0, 2.0]
    assert not np.allclose(corrected.language.values[1], other.features.language.values[1])
    assert set(real_clips.hashes(tmp_path)) == {"clips/manifest.csv", *paths}


def test_a_clip_without_a_true_transcript_keeps_its_words():
    clip = _clip("talking/a")
    assert clip.with_true_words(encoder="minilm") is clip.features
    with pytest.raises(FileNotFoundError):
        nowhere = real_clips.Path("nowhere")
        next(real_clips.read(nowhere, nowhere, encoder="minilm", feature_set="steps"))
