from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from extractors.messages import Message
from extractors.pipeline import SCHEMA
from extractors.schema import (
    FEATURE_SETS,
    MODALITY_NAMES,
    ClipFeatures,
    FeatureSchema,
    ModalityFeatures,
    ModalitySchema,
    SchemaError,
    Track,
)
from extractors.storage.config import ExtractionConfig
from tests.extractors.support.features import clip, with_face


def steps(count=3, dim=2, **changes):
    start = np.arange(count) / 10
    fields = {
        "values": np.ones((count, dim), np.float32),
        "start": start,
        "end": start + 0.1,
        "valid": np.ones(count, bool),
    }
    return ModalityFeatures(**{**fields, **changes})


def test_schema_survives_json():
    assert FeatureSchema.from_dict(json.loads(json.dumps(SCHEMA.to_dict()))) == SCHEMA


def test_schema_names_every_column():
    assert [getattr(SCHEMA, name).dim for name in MODALITY_NAMES] == [50, 55, 384]
    for part in (SCHEMA.audio, SCHEMA.video):
        assert len(set(part.columns)) == part.dim
    assert SCHEMA.video.sha256 and SCHEMA.language.sha256


@pytest.mark.parametrize("feature_set", FEATURE_SETS)
def test_schema_gives_every_named_column_its_unit(feature_set):
    schema = ExtractionConfig(feature_set=feature_set).schema()
    units = {
        name: unit for part in (schema.audio, schema.video) for name, unit in zip(part.columns, part.units, strict=True)
    }
    assert {"F1frequency_sma3nz_mean": "Hz", "F1frequency_sma3nz_mean_filled": "Hz"}.items() & units.items()
    assert units["slope0-500_sma3_std"] == "dB/Hz" and units["Loudness_sma3_mean"] == units["jawOpen"] == "1"
    assert units["head_yaw"] == "rad"


def test_units_fit_the_columns():
    with pytest.raises(ValueError, match="units: 1, expected one for each of 2 columns"):
        ModalitySchema(dim=2, rate=None, extractor="x", columns=("a", "b"), units=("s",))


def test_columns_fit_dim():
    with pytest.raises(ValueError, match="2 names, expected dim = 3"):
        ModalitySchema(dim=3, rate=None, extractor="x", columns=("a", "b"))
    with pytest.raises(ValueError, match="expected at least 1"):
        ModalitySchema(dim=0, rate=None, extractor="x")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": np.full((3, 2), np.nan, np.float32)}, "NaN or inf"),
        ({"valid": np.array([True, False, True])}, "invalid steps hold numbers"),
        ({"start": np.array([0.2, 0.1, 0.3])}, "never falling"),
        ({"end": np.array([0.0, 0.05, 0.3])}, "end >= start"),
        ({"absent": Message("no_face")}, "expected None"),
        ({"values": np.zeros((3, 2), np.float32), "valid": np.zeros(3, bool)}, "expected the reason"),
    ],
)
def test_features_that_contradict_themselves(changes, message):
    with pytest.raises(ValueError, match=message):
        steps(**changes)


def test_missing_has_no_steps():
    missing = ModalityFeatures.missing(Message("no_speech"), 7)
    assert missing.values.shape == (0, 7)
    assert missing.absent == Message("no_speech")


def test_clip_features_fit_their_schema():
    parts = {name: ModalityFeatures.missing(Message("no_face"), getattr(SCHEMA, name).dim) for name in MODALITY_NAMES}
    clip = ClipFeatures(**parts, words=(), duration=1.0, schema=SCHEMA, transcript_source="none")
    assert clip.modality("audio") is clip.audio
    with pytest.raises(ValueError, match="'smell', expected one of"):
        clip.modality("smell")
    with pytest.raises(SchemaError, match="audio: 2 columns, expected 50"):
        replace(clip, audio=steps())
    with pytest.raises(ValueError, match="expected one per language step"):
        replace(clip, language=steps(dim=384))


def test_outlines_stay_with_the_frames_of_the_face():
    whole = with_face(clip())
    assert np.array_equal(whole.without([(0.0, 0.3)]).outlines, whole.outlines)
    assert whole.between(0.0, 0.3).outlines is None
    assert replace(whole, tracks=(), outlines=None).outlines is None
    for wrong in (whole.outlines[1:], whole.outlines[:, :0], np.zeros((5, 101, 2), np.uint8)):
        with pytest.raises(ValueError, match=r"outlines: .*, expected"):
            replace(whole, outlines=wrong)
    with pytest.raises(ValueError, match=r"expected \(0, points, 2\)"):
        replace(whole, tracks=())


def test_tracks_may_hold_gaps_but_no_nonsense():
    seconds = np.array([0.0, 0.1, 0.1])
    track = Track(name="F0", unit="Hz", seconds=seconds, values=np.array([np.nan, 110.0, 120.0]))
    for changes, message in (
        ({"values": np.array([0, np.inf, 0])}, "inf in track 'F0'"),
        ({"seconds": seconds[::-1]}, "never falling"),
        ({"seconds": np.array([0, np.nan, 1])}, "expected finite"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(track, **changes)
    parts = {name: ModalityFeatures.missing(Message("no_face"), getattr(SCHEMA, name).dim) for name in MODALITY_NAMES}
    clip = ClipFeatures(**parts, words=(), duration=1.0, schema=SCHEMA, transcript_source="none", tracks=(track,))
    with pytest.raises(ValueError, match="expected each name once"):
        replace(clip, tracks=(track, track))
