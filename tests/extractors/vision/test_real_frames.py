"""Pictures of the 27 real clips.

Faces are read at the usual rate in the clips of people talking, at `COARSE_RATE` in the longer expressive ones, so that
all takes some twenty seconds.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from extractors.media.probe import decode_frames, probe
from extractors.vision.facial import FRAME_RATE, SCHEMA, read
from tests.paths import DATA

LISTING = DATA / "clips" / "manifest.csv"
CLIPS = list(csv.DictReader(LISTING.read_text(encoding="utf-8").splitlines())) if LISTING.is_file() else []
COARSE_RATE = 2.0  # frames per second

# The listing has its seconds from the headers; this file's promises more than it holds.
SECONDS = {"mead_sad_silent.mp4": 4.44}

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CLIPS, reason="the real clips are not here")]
every_clip = pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: Path(clip["path"]).name)


def seconds_of(clip):
    return SECONDS.get(Path(clip["path"]).name, float(clip["seconds"]))


def test_the_listing_is_whole():
    assert len(CLIPS) == 27


@every_clip
def test_every_clip_is_as_listed(clip):
    info = probe(DATA / clip["path"])
    assert info.seconds == pytest.approx(seconds_of(clip), abs=0.1)
    assert info.fps == pytest.approx(float(clip["fps"]), rel=0.02)
    assert info.video_codec == clip["video_codec"]
    assert (info.audio_codec is not None) == bool(clip["audio_codec"])
    assert info.height == int(clip["height"])
    # One clip's pixels are not square.
    assert info.width == (480 if clip["path"].endswith("d9.mp4") else int(clip["width"]))


@every_clip
def test_every_clip_is_covered_and_has_its_face(clip):
    path = DATA / clip["path"]
    rate = COARSE_RATE if "expressive" in path.parts else FRAME_RATE
    reports = []
    result = read(decode_frames(path, rate, report=reports.append), rate)
    features = result.features
    assert reports == [] and result.notes == ()
    assert 0 <= features.start[0] < 0.1
    assert np.allclose(np.diff(features.start), 1 / rate)
    assert features.start[-1] < seconds_of(clip) + 0.05 and features.end[-1] > seconds_of(clip) - 0.1
    assert features.valid.mean() > 0.95
    assert features.values.shape == (len(features.start), SCHEMA.dim)
    assert np.isfinite(features.values).all()
    assert (features.values[features.valid, :52].sum(axis=1) > 0).all()
    assert np.abs(features.values[:, 52:]).max() < np.pi / 2  # nobody turns away
