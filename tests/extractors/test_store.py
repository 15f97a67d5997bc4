from __future__ import annotations

import csv
import io
import json
import logging
import os
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from extractors import store
from extractors.clip import SCHEMA
from extractors.schema import MODALITY_NAMES, ClipFeatures, ModalityFeatures, SchemaError, Track, Word
from extractors.store import Cache, StoreError, load, read_origin, recipe, save, write_table, write_tables


def part(steps, dim, seed):
    """Random steps, every third invalid."""
    values = np.random.default_rng(seed).normal(size=(steps, dim)).astype(np.float32)
    valid = np.arange(steps) % 3 != 2
    start = np.arange(steps) / 7  # no short decimals
    return ModalityFeatures(values=values * valid[:, None], start=start, end=start + 1 / 7, valid=valid)


def clip(steps=5, texts=("one", "=two", "drei,\n“4”"), seed=0, **changes):
    words = tuple(Word(text=text, start=index / 7, end=(index + 1) / 7) for index, text in enumerate(texts))
    language = part(len(words), 384, seed + 2) if words else ModalityFeatures.missing("no speech", 384)
    fields = {
        "audio": part(steps, 50, seed),
        "video": part(steps, 55, seed + 1),
        "language": language,
        "words": words,
        "duration": 1.1,
        "schema": SCHEMA,
        "transcript_source": "given" if words else "none",
        "notes": ("A note.",),
        "step_seconds": MappingProxyType({"voice": 0.1}),
        "tracks": (Track(name="F0", unit="Hz", seconds=np.arange(3) / 7, values=np.array([np.nan, 110.5, 1 / 3])),),
    }
    return ClipFeatures(**{**fields, **changes})


def assert_same(first, second):
    for name in MODALITY_NAMES:
        one, two = first.modality(name), second.modality(name)
        for array in ("values", "start", "end", "valid"):
            assert getattr(one, array).dtype == getattr(two, array).dtype
            assert np.array_equal(getattr(one, array), getattr(two, array))
        assert one.absent == two.absent
    for name in ("words", "duration", "schema", "transcript_source", "notes", "step_seconds"):
        assert getattr(first, name) == getattr(second, name)
    assert len(first.tracks) == len(second.tracks)
    for one, two in zip(first.tracks, second.tracks, strict=True):
        assert (one.name, one.unit) == (two.name, two.unit)
        assert np.array_equal(one.seconds, two.seconds) and np.array_equal(one.values, two.values, equal_nan=True)


@settings(max_examples=25, deadline=None)
@given(steps=st.integers(1, 9), texts=st.lists(st.text(max_size=9), max_size=4), seed=st.integers(0, 99))
def test_what_is_read_is_what_was_written(tmp_path_factory, steps, texts, seed):
    path = tmp_path_factory.mktemp("store") / "a.safetensors"
    features = clip(steps, tuple(texts), seed)
    save(features, path, origin={"id": "a", "stamp": [1, 2]})
    assert_same(load(path, schema=SCHEMA), features)
    assert read_origin(path) == {"id": "a", "stamp": [1, 2]}
    assert os.listdir(path.parent) == ["a.safetensors"]


def test_absent_modalities_are_kept(tmp_path):
    features = clip(texts=(), audio=ModalityFeatures.missing("no audio stream", 50))
    save(features, tmp_path / "a")
    assert_same(load(tmp_path / "a"), features)


def test_every_flipped_byte_is_noticed(tmp_path):
    """Wherever the damage is: header, texts or arrays."""
    path = tmp_path / "a"
    save(clip(2, ("a",)), path)
    content = path.read_bytes()
    spots = np.random.default_rng(0).choice(len(content), 200, replace=False)
    for spot in [*range(40), *spots]:
        damaged = bytearray(content)
        damaged[spot] ^= 0x15
        path.write_bytes(damaged)
        with pytest.raises(StoreError):
            load(path)


@pytest.mark.parametrize("keep", [0, 7, 8, 100, 5000, -1])
def test_a_file_cut_short_is_noticed(tmp_path, keep):
    path = tmp_path / "a"
    save(clip(), path)
    path.write_bytes(path.read_bytes()[:keep])
    for read in (load, read_origin):
        with pytest.raises(StoreError, match="is no whole file of features"):
            read(path)


def test_other_files_are_told_apart(tmp_path):
    path = tmp_path / "a"
    with pytest.raises(FileNotFoundError):
        load(path)
    save_file({"weight": np.zeros(3, np.float32)}, path)
    with pytest.raises(StoreError):
        load(path)
    with pytest.raises(StoreError, match="holds no features"):
        read_origin(path)


def test_a_file_of_this_shape_that_lies_is_refused(tmp_path, monkeypatch):
    """A right hash is no proof of sense: features are checked as if they came from the extractors."""
    honest = store._facts
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
        monkeypatch.setattr(store, "_facts", lambda features, change=change: {**honest(features), **change})
        save(clip(), tmp_path / "a")
        with pytest.raises(StoreError, match="holds no features"):
            load(tmp_path / "a")


def test_another_schema_is_named(tmp_path):
    save(clip(), tmp_path / "a")
    other = replace(SCHEMA, video=replace(SCHEMA.video, rate=5.0))
    with pytest.raises(SchemaError, match=r"video features were made with rate = 10\.0, expected 5\.0"):
        load(tmp_path / "a", schema=other)
    with pytest.raises(SchemaError, match="version 1, expected 9"):
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


def test_tables_are_tidy_and_exact(tmp_path):
    features = clip()
    paths = write_tables(features, tmp_path, "x")
    assert [path.name for path in paths] == ["x.audio.csv", "x.video.csv", "x.language.csv"]
    for name, path in zip(MODALITY_NAMES, paths, strict=True):
        with path.open(newline="", encoding="utf-8") as stream:
            header, *rows = csv.reader(stream)
        words = name == "language"
        columns = getattr(SCHEMA, name).columns or tuple(f"language_{index}" for index in range(384))
        assert header == ["start", "end", "valid", *(["word"] if words else []), *columns]
        found = features.modality(name)
        assert [row[3] for row in rows] == [word.text for word in features.words] if words else True
        values = np.array([row[3 + words :] for row in rows], np.float64).astype(np.float32)
        assert np.array_equal(values, found.values)
        assert np.allclose([float(row[0]) for row in rows], found.start, atol=1e-6)
        assert [row[2] for row in rows] == [str(int(valid)) for valid in found.valid]


def test_the_table_of_an_absent_modality_is_its_header():
    stream = io.StringIO(newline="")
    write_table(clip(texts=()), "language", stream)
    assert stream.getvalue().count("\n") == 1 and stream.getvalue().startswith("start,end,valid,word,language_0,")


def test_a_recipe_knows_what_matters():
    plain = recipe(SCHEMA, transcript=None, settings={"seconds": 120})
    assert plain == recipe(SCHEMA, transcript=" \n", settings={"seconds": 120})
    others = {
        recipe(SCHEMA, transcript="good", settings={"seconds": 120}),
        recipe(SCHEMA, transcript=None, settings={"seconds": 60}),
        recipe(replace(SCHEMA, version=2), transcript=None, settings={"seconds": 120}),
        recipe(replace(SCHEMA, audio=replace(SCHEMA.audio, sha256="0")), transcript=None, settings={"seconds": 120}),
    }
    assert len(others | {plain}) == 5


@pytest.fixture
def kept(tmp_path):
    """A cache with one clip, and a count of how often it was made."""
    file = tmp_path / "x.mp4"
    file.write_bytes(b"clip")
    calls = []

    def make():
        calls.append(1)
        return clip(seed=len(calls))

    cache = Cache(tmp_path / "cache", schema=SCHEMA)
    cache.fetch(file, make)
    return cache, file, make, calls


def test_the_same_clip_is_made_once(kept, tmp_path):
    cache, file, make, calls = kept
    again = tmp_path / "copy.mov"
    again.write_bytes(file.read_bytes())
    assert_same(cache.fetch(file, make), clip(seed=1))
    assert_same(cache.fetch(again, make), clip(seed=1))
    assert len(calls) == 1


def test_what_differs_is_made_anew(kept):
    cache, file, make, calls = kept
    cache.fetch(file, make, transcript="good")
    cache.fetch(file, make, settings={"seconds": 60})
    Cache(cache.folder, schema=replace(SCHEMA, version=2)).fetch(file, make)
    file.write_bytes(b"cut!")
    cache.fetch(file, make)
    assert len(calls) == 5


def test_a_damaged_entry_is_told_and_made_anew(kept, caplog):
    cache, file, make, calls = kept
    entry = cache.path(file, transcript=None, settings={})
    content = bytearray(entry.read_bytes())
    content[-1] ^= 1
    entry.write_bytes(content)
    assert_same(cache.fetch(file, make), clip(seed=2))
    assert "x.mp4: its cache entry cannot be used and is made anew" in caplog.text
    assert_same(cache.fetch(file, make), clip(seed=2))
    assert len(calls) == 2


def test_a_cache_that_cannot_be_written_says_so(kept, caplog):
    cache, file, make, _ = kept
    blocked = cache.folder / "blocked"
    blocked.write_text("a file where a folder is needed")
    with caplog.at_level(logging.WARNING):
        features = Cache(blocked, schema=SCHEMA).fetch(file, make)
    assert features.notes[-1].startswith("These features could not be kept")
    assert "could not be kept" in caplog.text


def test_the_texts_in_a_file_are_json(tmp_path):
    save(clip(), tmp_path / "a")
    texts, _ = store._read(tmp_path / "a", arrays=False)
    assert set(texts) == {"clip", "origin", "sha256"}
    assert json.loads(texts["clip"])["words"][1][0] == "=two"
