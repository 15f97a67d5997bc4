"""Checkpoints of other feature sets beside the app's own: compared on the clip's bytes, and served by their schema."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from alignmamba import checkpoint
from alignmamba.config import ModelConfig
from alignmamba.modality import SUBSETS
from alignmamba.modeling.model import AlignMamba
from alignmamba.predictor import Predictor
from app.services import analysis, model, samples
from app.services.errors import PlainError
from app.services.jobs import Job
from app.services.sharing import checkpoints
from extractors.language.transcript import Transcript
from extractors.storage.config import ExtractionConfig
from extractors.workers import client

ALL = SUBSETS[0]
WITH = {"audio_statistics": 260, "video_statistics": 220}


@pytest.fixture(scope="module")
def opened() -> analysis.Analysis:
    return samples.analysed(samples.shipped()[0])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of checkpoints with one that reads clip statistics, untrained."""
    torch.manual_seed(1)
    schema = ExtractionConfig(feature_set="statistics").schema().to_dict()
    dims = {f"{name}_dim": schema[name]["dim"] for name in ("audio", "video", "language")}
    made = AlignMamba(ModelConfig(**dims, **WITH, width=8))
    checkpoint.save(tmp_path / "other", made, schema=schema)
    monkeypatch.setattr(model, "FOLDER", tmp_path)
    model.load.clear()
    yield tmp_path
    model.load.clear()


def test_another_feature_set_is_extracted_from_the_clips_bytes_once(folder, opened, monkeypatch):
    found = checkpoints.predict_with("other", opened, ALL)
    with analysis.on_disk(opened.clip) as path:
        words = Transcript(words=opened.features.words, source="recognised")
        features = client.extract(path, words, feature_set="statistics")
    predictor = Predictor.from_pretrained(folder / "other")
    predictor.set_clip(features)
    assert found.score == pytest.approx(predictor.predict(ALL).score, abs=1e-5)
    monkeypatch.setattr(client, "extract", None)  # would fail now
    alone = checkpoints.predict_with("other", opened, SUBSETS[-1])
    assert alone.used == SUBSETS[-1]


def test_a_clip_is_analysed_with_another_checkpoint(folder, opened):
    asked = Job(opened.clip, owner="test", checkpoint="other").future.result(timeout=120)
    assert asked.document()["checkpoint"] == "other"
    here = Job(opened.clip, owner="test").future.result(timeout=120)  # another processor may hear other words
    assert asked.predictions[ALL].score == pytest.approx(checkpoints.predict_with("other", here, ALL).score, abs=1e-5)
    assert checkpoints.predict_with("other", asked, ALL) is asked.predictions[ALL]


def test_bytes_that_cannot_be_read_again_are_said_plainly(folder, opened):
    lost = dataclasses.replace(opened, clip=dataclasses.replace(opened.clip, data=b"no clip"), _fitting={})
    with pytest.raises(PlainError):
        checkpoints.predict_with("other", lost, ALL)


def test_a_checkpoint_of_unknown_columns_is_refused(folder):
    schema = ExtractionConfig(descriptors="ComParE_2016").schema().to_dict()
    dims = {f"{name}_dim": schema[name]["dim"] for name in ("audio", "video", "language")}
    checkpoint.save(folder / "other", AlignMamba(ModelConfig(**dims, width=8)), schema=schema)
    with pytest.raises(PlainError, match="130 audio and 55 video columns, expected those of a feature set"):
        model.feature_set(model.load("other"))


def test_the_apps_own_checkpoint_decides_what_is_extracted():
    predictor = model.default()
    assert (
        predictor.schema
        == ExtractionConfig(encoder=predictor.encoder, feature_set=model.feature_set(predictor)).schema().to_dict()
    )
