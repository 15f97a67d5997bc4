"""Feature sets end to end: columns, workers, schemas; and the same bytes give the same features in any process."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from alignmamba.checkpoint import CheckpointError, check_schema
from extractors import pipeline
from extractors.audio import acoustic
from extractors.language import asr, speech_states
from extractors.media import probe
from extractors.media.probe import SAMPLE_RATE
from extractors.schema import FEATURE_SETS, STEP_ARRAYS, SchemaError
from extractors.storage.config import ExtractionConfig, feature_set_of
from extractors.vision import facial
from extractors.workers import client
from tests.extractors.support.clips import every, face, make_clip
from tests.extractors.support.features import SPOKEN
from tests.paths import ROOT, SAMPLES

AUDIO = {"steps": 50, "statistics": 311, "statistics+whisper": 823}
VIDEO = {"steps": 55, "statistics": 330, "statistics+whisper": 330}
REPEATS = 4
# Prints a hash of everything that a clip gives, several times over, from a fresh process.
PROGRAM = f"""
import hashlib, sys
import numpy as np
from extractors import pipeline
from extractors.schema import MODALITY_NAMES, STEP_ARRAYS
for _ in range({REPEATS}):
    made = pipeline.extract(sys.argv[1], feature_set="statistics+whisper")
    digest = hashlib.sha256(repr(made.words).encode())
    for name in MODALITY_NAMES:
        for array in STEP_ARRAYS:
            digest.update(np.ascontiguousarray(getattr(made.modality(name), array)).tobytes())
    for track in made.tracks:
        digest.update(track.values.tobytes())
    print(len(made.words), digest.hexdigest())
"""


@pytest.fixture(scope="module")
def speech():
    """Two seconds of speech."""
    sound = probe.decode_audio(SAMPLES / "positive.webm")
    return sound.samples[: 2 * SAMPLE_RATE]


@pytest.fixture(scope="module")
def clip(tmp_path_factory, speech):
    """A second of a face with two seconds of speech."""
    path = tmp_path_factory.mktemp("clips") / "clip.mkv"
    return make_clip(path, frames=every(1, face()), sound=speech[None])


def equal(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in STEP_ARRAYS)


@pytest.mark.parametrize("feature_set", FEATURE_SETS)
def test_a_feature_set_decides_the_columns(clip, feature_set):
    plain = pipeline.extract(clip, SPOKEN)
    made = pipeline.extract(clip, SPOKEN, feature_set=feature_set)
    assert made.audio.values.shape[1] == AUDIO[feature_set] and made.video.values.shape[1] == VIDEO[feature_set]
    assert made.schema == ExtractionConfig(feature_set=feature_set).schema()
    assert feature_set_of(made.schema.to_dict()) == feature_set
    assert equal(made.language, plain.language)
    assert np.array_equal(made.video.values[:, :55], plain.video.values)
    if feature_set == "steps":
        assert equal(made.audio, plain.audio) and equal(made.video, plain.video)
    else:
        assert np.array_equal(made.audio.values[:, :51], acoustic.filled_steps(plain.audio.values))
        assert np.array_equal(made.video.values, facial.with_statistics(plain.video).values)
    assert equal(client.extract(clip, SPOKEN, feature_set=feature_set).audio, made.audio)


def test_states_are_whispers_mean_over_the_clip(clip):
    made = pipeline.extract(clip, SPOKEN, feature_set="statistics+whisper")
    state = speech_states.mean_state(probe.decode_audio(clip).samples)
    assert (made.audio.values[made.audio.valid, 311:] == state).all()
    assert np.std(state) > 0.1
    assert made.schema.audio.columns[311:] == speech_states.NAMES
    assert made.schema.audio.sha256 == asr.fingerprint()["model.bin"]


def test_states_of_a_very_short_sound_are_those_of_the_sound_and_silence(speech):
    short = speech[:1000]
    padded = np.concatenate([short, np.zeros(SAMPLE_RATE // 10 - 1000, np.float32)])
    assert np.array_equal(speech_states.mean_state(short), speech_states.mean_state(padded))


def test_noisy_voices_have_the_columns_too(clip):
    (voice,) = client.noisy_voices(clip, snr_db=400.0, seeds=[1], feature_set="statistics+whisper")
    quiet = pipeline.extract(clip, SPOKEN, feature_set="statistics+whisper").audio
    assert voice.values.shape == quiet.values.shape
    # At 200 dB the noise still turned the rounding of the int8 encoder; at 400 dB it is below a float32.
    np.testing.assert_array_equal(voice.values[:, 311:], quiet.values[:, 311:])


def test_each_feature_set_has_a_recipe_of_its_own(tmp_path):
    recipes = [ExtractionConfig(transcript="good", feature_set=name).sha256() for name in FEATURE_SETS]
    assert len(set(recipes)) == len(FEATURE_SETS)
    with pytest.raises(ValueError, match="descriptors: 'ComParE_2016', expected 'eGeMAPSv02'"):
        ExtractionConfig(feature_set="statistics", descriptors="ComParE_2016")


def test_columns_of_no_feature_set_are_named():
    schema = ExtractionConfig(descriptors="ComParE_2016").schema().to_dict()
    with pytest.raises(SchemaError, match=r"130 audio and 55 video columns, expected those of a feature set of"):
        feature_set_of(schema)


def test_a_checkpoint_refuses_another_feature_set_and_names_both():
    old, new = (ExtractionConfig(feature_set=name).schema().to_dict() for name in ("steps", "statistics"))
    with pytest.raises(CheckpointError, match=r"the clip.s audio is dim=311, .* was trained on dim=50, "):
        check_schema(new, old, whose="the clip")


def test_the_same_bytes_give_the_same_features_in_every_process(tmp_path):
    """Speech that runs backwards: Whisper is never sure of it, and the library's default is to sample then."""
    sound = probe.decode_audio(SAMPLES / "positive.webm")
    path = make_clip(tmp_path / "repeat.mkv", sound=sound.samples[None, ::-1])
    command = [sys.executable, "-c", PROGRAM, str(path)]
    runs = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    lines = [line for run in runs for line in run.communicate()[0].splitlines()]
    assert [run.returncode for run in runs] == [0, 0]
    assert len(lines) == 2 * REPEATS
    assert len(set(lines)) == 1, lines
    assert int(lines[0].split()[0]) > 2, "words were recognised"
