from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from extractors.messages import Message
from extractors.pipeline import SCHEMA
from extractors.schema import MODALITY_NAMES, STEP_ARRAYS, ModalityFeatures, SchemaError
from extractors.storage import feature_files
from extractors.storage.feature_files import FeatureFileError, load, read_origin, save
from tests.extractors.support.features import any_features, assert_same, clip, part, with_face


@settings(max_examples=50, deadline=None)
@given(make=any_features(), origin=st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text()))
def test_what_is_read_is_what_was_written(tmp_path_factory, make, origin):
    features = make()
    path = tmp_path_factory.mktemp("features") / "a.safetensors"
    save(features, path, origin=origin)
    assert_same(load(path, schema=features.schema), features)
    assert read_origin(path) == origin
    assert os.listdir(path.parent) == ["a.safetensors"]


def test_absent_modalities_are_kept(tmp_path):
    features = clip(texts=(), audio=ModalityFeatures.missing(Message("no_audio_stream"), 50))
    save(features, tmp_path / "a")
    assert_same(load(tmp_path / "a"), features)


def test_outlines_are_kept_and_files_without_them_still_open(tmp_path):
    features = with_face(clip())
    save(features, tmp_path / "new")
    assert_same(load(tmp_path / "new"), features)
    older = replace(features, outlines=None)
    save(older, tmp_path / "old")
    assert load(tmp_path / "old").outlines is None
    assert_same(load(tmp_path / "old"), older)


@pytest.mark.parametrize(
    "outlines",
    [
        np.zeros((4, 3, 2), np.uint8),
        np.zeros((5, 0, 2), np.uint8),
        np.zeros((5, 101, 2), np.uint8),
        np.zeros((5, 3, 3), np.uint8),
        np.zeros((5, 6), np.uint8),
        np.zeros((5, 3, 2), np.float32),
    ],
    ids=str,
)
def test_outlines_of_another_shape_or_type_are_refused(tmp_path, monkeypatch, outlines):
    written = feature_files.to_safetensors
    digest = feature_files._digest

    def lie(tensors, metadata):
        tensors[feature_files.OUTLINES] = outlines
        texts = {name: metadata[name] for name in ("clip", "origin")}
        return written(tensors, metadata={**texts, "sha256": digest(tensors, texts)})

    monkeypatch.setattr(feature_files, "to_safetensors", lie)
    save(with_face(clip()), tmp_path / "a")
    with pytest.raises(FeatureFileError, match="outlines: "):
        load(tmp_path / "a")


def test_every_flipped_byte_is_noticed(tmp_path):
    """Wherever the damage is: header, texts or arrays."""
    path = tmp_path / "a"
    save(with_face(clip(2, ("a",))), path)
    content = path.read_bytes()
    spots = np.random.default_rng(0).choice(len(content), 200, replace=False)
    for spot in [*range(40), *spots]:
        damaged = bytearray(content)
        damaged[spot] ^= 0x15
        path.write_bytes(damaged)
        with pytest.raises(FeatureFileError):
            load(path)


@pytest.mark.parametrize("keep", [0, 7, 8, 100, 5000, -1])
def test_a_file_cut_short_is_noticed(tmp_path, keep):
    path = tmp_path / "a"
    save(clip(), path)
    path.write_bytes(path.read_bytes()[:keep])
    for read in (load, read_origin):
        with pytest.raises(FeatureFileError, match="is no whole file of features"):
            read(path)


def test_other_files_are_distinguished(tmp_path):
    path = tmp_path / "a"
    with pytest.raises(FileNotFoundError):
        load(path)
    save_file({"weight": np.zeros(3, np.float32)}, path)
    with pytest.raises(FeatureFileError):
        load(path)
    with pytest.raises(FeatureFileError, match="holds no features"):
        read_origin(path)


def test_a_file_of_this_shape_that_lies_is_refused(tmp_path, monkeypatch):
    """A right hash is no proof of sense: features are checked as if they came from the extractors."""
    honest = feature_files._facts
    for change in (
        {"format": 1},
        {"words": []},
        {"words": 7},
        {"words": [["a", "soon", 1.0], ["b", 1.0, 1.0], ["c", 1.0, 1.0]]},
        {"duration": None},
        {"step_seconds": 3},
        {"absent": {}},
        {"tracks": 3},
        {"tracks": [["F0", "Hz"], ["F1", "Hz"]]},
        {"schema": {}},
        {"absent": dict.fromkeys(MODALITY_NAMES, "why")},
    ):
        monkeypatch.setattr(feature_files, "_facts", lambda features, change=change: {**honest(features), **change})
        save(clip(), tmp_path / "a")
        with pytest.raises(FeatureFileError, match="holds no features"):
            load(tmp_path / "a")


@pytest.mark.parametrize("read", [load, read_origin, feature_files.load_steps])
def test_files_that_would_fill_the_memory_are_not_read(tmp_path, read):
    path = tmp_path / "a"
    save(clip(), path)
    with path.open("r+b") as stream:
        stream.write((feature_files.MAX_HEADER_BYTES + 1).to_bytes(8, "little"))
    with pytest.raises(FeatureFileError, match=r"its header has .* bytes, expected at most"):
        read(path)
    save(clip(), path)
    os.truncate(path, feature_files.MAX_BYTES + 1)  # a hole: it takes no room on the disk
    with pytest.raises(FeatureFileError, match=r"the file has .* bytes, expected at most"):
        read(path)
    save_file({"weight": np.zeros(3, np.float32)}, path, {"clip": "[" * 100_000, "origin": "[" * 100_000})
    with pytest.raises(FeatureFileError):
        read(path)


def test_another_schema_is_named(tmp_path):
    save(clip(), tmp_path / "a")
    other = replace(SCHEMA, video=replace(SCHEMA.video, rate=5.0))
    with pytest.raises(SchemaError, match=r"video features were made with rate = 10\.0, expected 5\.0"):
        load(tmp_path / "a", schema=other)
    with pytest.raises(SchemaError, match="version 2, expected 9"):
        load(tmp_path / "a", schema=replace(SCHEMA, version=9))


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "a"
    save(clip(seed=1), path)

    def full(descriptor):
        raise OSError("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            save(clip(seed=2), path)
    assert_same(load(path), clip(seed=1))
    assert os.listdir(tmp_path) == ["a"]


def test_the_texts_in_a_file_are_json(tmp_path):
    save(clip(), tmp_path / "a")
    texts, _ = feature_files._read(tmp_path / "a", arrays=False)
    assert set(texts) == {"clip", "origin", "sha256"}
    assert json.loads(texts["clip"])["words"][1][0] == "=two"


def test_steps_of_one_modality_survive_their_file(tmp_path):
    parts = [part(5, 4, seed=0), ModalityFeatures.missing(Message("no_speech"), 4), part(2, 4, seed=1)]
    feature_files.save_steps(parts, tmp_path / "steps.safetensors")
    for one, other in zip(parts, feature_files.load_steps(tmp_path / "steps.safetensors"), strict=True):
        assert all(np.array_equal(getattr(one, array), getattr(other, array)) for array in STEP_ARRAYS)
        assert one.absent == other.absent
