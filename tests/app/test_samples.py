"""The shipped clips are what samples.json and the app say they are."""

from __future__ import annotations

import json

import av
import numpy as np
import pytest

from extractors.media import probe
from tests import paths
from training.demo_clips.make import (
    FRAME_RATE,
    OPUS_RATE,
    SAMPLES,
    VOICE_RATE,
    entry,
    jaw_opening,
    landscape,
    write_clip,
)
from training.demo_clips.portrait import Expression, Portrait

FOLDER = paths.SAMPLES
LISTING = json.loads((FOLDER / "samples.json").read_text(encoding="utf-8"))
NAMES = ("positive", "negative", "neutral", "no-sound", "no-face")
MAX_BYTES = 1_000_000


def test_listing_is_complete_and_as_the_script_writes_it():
    assert {item["file"] for item in LISTING} == {f"{name}.webm" for name in NAMES}
    assert {path.name for path in FOLDER.glob("*.webm")} == {item["file"] for item in LISTING}
    assert [entry(sample) for sample in SAMPLES] == LISTING


@pytest.mark.parametrize("item", LISTING, ids=lambda item: item["file"])
def test_entry_says_what_the_app_shows(item):
    assert set(item) == {"file", "title", "description", "transcript", "synthetic", "credit"}
    assert item["synthetic"] is True
    assert item["title"] and item["description"] and item["credit"]
    assert (item["transcript"] is None) == (item["file"] == "no-sound.webm")


@pytest.mark.parametrize("name", NAMES)
def test_clip_is_short_small_and_has_its_streams(name):
    path = FOLDER / f"{name}.webm"
    assert path.stat().st_size <= MAX_BYTES
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert video.codec_context.name in ("vp9", "libvpx-vp9")
        assert video.average_rate == FRAME_RATE
        assert [stream.codec_context.name for stream in container.streams.audio] in ([], ["opus"], ["libopus"])
    info = probe.probe(path)
    assert info.video_codec is not None
    assert (info.audio_codec is not None) == (name != "no-sound")
    assert 4 <= info.seconds <= 8.1


@pytest.mark.parametrize("name", NAMES)
def test_clip_decodes_to_moving_pictures_and_sound(name):
    path = FOLDER / f"{name}.webm"
    pictures = [picture for _, picture in probe.decode_frames(path, 10.0)]
    assert len(pictures) == pytest.approx(10 * probe.probe(path).seconds, abs=2)
    middle, later = (pictures[i].astype(float) for i in (len(pictures) // 2, len(pictures) // 2 + 8))
    assert np.abs(middle - later).max() > 10
    sound = probe.decode_audio(path)
    if name == "no-sound":
        assert sound is None
    else:
        assert 0.1 < np.abs(sound.samples).max() <= 1
        assert abs(sound.end - len(pictures) / 10) < 0.2


def test_jaw_follows_low_sound_and_not_hiss():
    seconds = np.arange(VOICE_RATE) / VOICE_RATE
    vowel = 0.5 * np.sin(2 * np.pi * 200 * seconds)
    hiss = 0.5 * np.sin(2 * np.pi * 6000 * seconds)
    jaw = jaw_opening(np.concatenate([0 * vowel, vowel, hiss]).astype(np.float32), 3 * FRAME_RATE)
    silent, open_, hissing = (jaw[i * FRAME_RATE + 4 : (i + 1) * FRAME_RATE - 4] for i in range(3))
    assert open_.min() > 0.5
    assert silent.max() < 0.05
    assert hissing.max() < 0.05


def test_same_input_gives_the_same_bytes(tmp_path):
    tone = (0.3 * np.sin(np.arange(VOICE_RATE // 2) / 20)).astype(np.float32)
    for name in ("a.webm", "b.webm"):
        write_clip(tmp_path / name, landscape(12), tone)
    assert (tmp_path / "a.webm").read_bytes() == (tmp_path / "b.webm").read_bytes()
    sound = probe.decode_audio(tmp_path / "a.webm")
    assert len(sound.samples) / probe.SAMPLE_RATE == pytest.approx(0.5, abs=2 * 960 / OPUS_RATE)


@pytest.fixture(scope="module")
def portrait():
    """A head with real landmarks: the first frame of a shipped clip."""
    import mediapipe

    from extractors.vision.landmarks import landmarker

    picture = next(picture for _, picture in probe.decode_frames(FOLDER / "neutral.webm", 1.0))
    height, width = picture.shape[:2]
    with landmarker() as model:
        image = mediapipe.Image(mediapipe.ImageFormat.SRGB, np.ascontiguousarray(picture))
        face = model.detect_for_video(image, 0).face_landmarks[0]
    return Portrait(image=picture, landmarks=np.array([(p.x * width, p.y * height, p.z * width) for p in face]))


def test_still_expression_leaves_the_picture_as_it_is(portrait):
    difference = np.abs(portrait.render(Expression()).astype(float) - portrait.image)
    # Interpolation may change a pixel a little; only the parted lips may change more.
    assert np.median(difference) <= 1
    assert (difference.max(axis=2) > 40).mean() < 0.002


@pytest.mark.parametrize(
    "expression", [Expression(jaw=1.0), Expression(smile=1.0), Expression(frown=1.0), Expression(blink=1.0)], ids=repr
)
def test_expression_moves_the_face_and_not_the_edges(portrait, expression):
    difference = np.abs(portrait.render(expression).astype(float) - portrait.render(Expression())).max(axis=2)
    assert (difference > 15).mean() > 0.001
    border = np.ones_like(difference, bool)
    border[8:-8, 8:-8] = False
    assert difference[border].max() < 15
