from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from extractors import pipeline
from extractors.assets.hashes import file_sha256
from extractors.media.probe import Limits, MediaError, configured_limits
from extractors.messages import Message
from extractors.storage import cache as caches
from extractors.storage.cache import Cache
from extractors.storage.config import ExtractionConfig
from extractors.storage.feature_files import FeatureFileError, load
from extractors.workers import client
from tests.extractors.language.test_word_features import save_encoder
from tests.extractors.storage.test_config import recogniser_folder
from tests.extractors.support import features
from tests.extractors.support.clips import every, face, make_clip, tone
from tests.extractors.support.features import SPOKEN, assert_same
from tests.paths import ROOT


@pytest.fixture(scope="module")
def portrait(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "portrait.webm"
    return make_clip(path, frames=every(0.5, face()), sound=tone(0.5, rate=48_000), rate=48_000)


def untimed(found):
    return replace(found, step_seconds={})


def entries(cache):
    return sorted(path for path in cache.folder.rglob("*") if path.is_file())


# --- with features that are made up ---


@pytest.fixture
def kept(tmp_path):
    """A cache with one clip, and a count of how often it was made."""
    file = tmp_path / "x.mp4"
    file.write_bytes(b"clip")
    calls = []

    def make():
        calls.append(1)
        return features.clip(seed=len(calls))

    cache = Cache(tmp_path / "cache")
    cache.fetch(file, ExtractionConfig(), make)
    return cache, file, make, calls


def test_the_same_clip_is_made_once(kept, tmp_path):
    cache, file, make, calls = kept
    again = tmp_path / "copy.mov"
    again.write_bytes(file.read_bytes())
    assert_same(cache.fetch(file, ExtractionConfig(), make), features.clip(seed=1))
    assert_same(Cache(cache.folder).fetch(again, ExtractionConfig(), make), features.clip(seed=1))
    assert len(calls) == 1


def test_what_differs_is_made_anew(kept, tmp_path):
    cache, file, make, calls = kept
    others = [
        ExtractionConfig(transcript="good"),
        ExtractionConfig(transcript=SPOKEN),
        ExtractionConfig(recogniser=recogniser_folder(tmp_path / "recogniser")),
        ExtractionConfig(limits=Limits(seconds=60.0)),
    ]
    for config in others:
        cache.fetch(file, config, make)
    file.write_bytes(b"cut!")
    cache.fetch(file, ExtractionConfig(), make)
    assert len(calls) == 6


def test_another_encoder_is_made_anew(kept, tmp_path):
    cache, file, _, _ = kept
    encoder = ExtractionConfig(encoder=save_encoder(tmp_path / "encoder"))
    digest = file_sha256(file)
    assert cache.path(digest, encoder) != cache.path(digest, ExtractionConfig())
    shutil.copytree(tmp_path / "encoder", tmp_path / "other")
    (tmp_path / "other" / "model.safetensors").write_bytes(b"other weights")
    assert cache.path(digest, ExtractionConfig(encoder=str(tmp_path / "other"))) != cache.path(digest, encoder)


def test_other_code_and_other_libraries_are_another_entry(kept, tmp_path, monkeypatch):
    cache, file, _, _ = kept
    digest = file_sha256(file)
    paths = {cache.path(digest, ExtractionConfig())}
    with monkeypatch.context() as patched:
        patched.setattr(caches, "version", lambda name: "99.0")
        caches._maker.cache_clear()
        paths.add(cache.path(digest, ExtractionConfig()))
    shutil.copytree(Path(caches.__file__).parents[1], tmp_path / "extractors", ignore=lambda *_: {"__pycache__"})
    with (tmp_path / "extractors" / "audio" / "acoustic.py").open("a") as stream:
        stream.write("# a change\n")
    with monkeypatch.context() as patched:
        patched.setattr(caches, "__file__", str(tmp_path / "extractors" / "storage" / "cache.py"))
        caches._maker.cache_clear()
        paths.add(cache.path(digest, ExtractionConfig()))
    caches._maker.cache_clear()
    assert len(paths) == 3 and cache.path(digest, ExtractionConfig()) in paths


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-1], lambda content: content[:-1] + b"\x07", lambda _: b""]
)
def test_a_damaged_entry_is_logged_and_made_anew(kept, caplog, damage):
    cache, file, make, calls = kept
    (entry,) = entries(cache)
    entry.write_bytes(damage(entry.read_bytes()))
    with pytest.raises(FeatureFileError):
        load(entry)
    assert_same(cache.fetch(file, ExtractionConfig(), make), features.clip(seed=2))
    assert "x.mp4: its cache entry cannot be used and is made anew" in caplog.text
    assert_same(cache.fetch(file, ExtractionConfig(), make), features.clip(seed=2))
    assert len(calls) == 2


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(kept, caplog):
    cache, file, make, _ = kept
    blocked = cache.folder / "blocked"
    blocked.write_text("a file where a folder is needed")
    with caplog.at_level(logging.WARNING):
        assert_same(Cache(blocked).fetch(file, ExtractionConfig(), make), features.clip(seed=2))
    assert "x.mp4: its features could not be kept" in caplog.text


def test_a_clip_that_changes_while_it_is_read_is_not_kept(kept, caplog):
    cache, file, make, calls = kept
    file.write_bytes(b"first")

    def make_while_it_changes():
        file.write_bytes(b"second")
        return make()

    cache.fetch(file, ExtractionConfig(), make_while_it_changes)
    assert "changed while it was read" in caplog.text and len(entries(cache)) == 1
    file.write_bytes(b"first")
    cache.fetch(file, ExtractionConfig(), make)
    assert len(calls) == 3


def test_an_error_is_not_kept(kept):
    cache, file, _, _ = kept
    file.write_bytes(b"broken")

    def fail():
        raise MediaError(Message("nothing_decoded"))

    for _ in range(2):
        with pytest.raises(MediaError, match="could be decoded"):
            cache.fetch(file, ExtractionConfig(), fail)
    assert len(entries(cache)) == 1


def test_others_cannot_look_into_it(kept):
    assert kept[0].folder.stat().st_mode & 0o077 == 0


# --- with clips ---


def test_from_the_cache_to_the_last_bit(portrait, tmp_path):
    cache, reports = Cache(tmp_path / "cache"), []
    fresh = pipeline.extract(portrait, SPOKEN)
    first = pipeline.extract(portrait, SPOKEN, lambda *event: reports.append(event), cache=cache)
    assert reports
    reports.clear()
    second = pipeline.extract(str(portrait), SPOKEN, lambda *event: reports.append(event), cache=cache)
    assert not reports and len(entries(cache)) == 1
    assert_same(second, first)  # with the seconds that it took then
    assert_same(untimed(second), untimed(fresh))
    assert len(fresh.tracks) >= 8  # of which the comparison speaks too


@pytest.mark.parametrize(
    ("content", "limits"), [(None, {}), (b"", {}), (b"not a video", {}), (b"x" * 9, {"file_bytes": 5})]
)
def test_what_is_no_clip_ends_as_without_a_cache(tmp_path, content, limits):
    path, cache = tmp_path / "x.mp4", Cache(tmp_path / "cache")
    if content is not None:
        path.write_bytes(content)
    sentences = set()
    for where in ({}, {"cache": cache}):
        with pytest.raises(MediaError) as caught:
            pipeline.extract(path, limits=Limits(**limits), **where)
        sentences.add(str(caught.value))
    assert len(sentences) == 1 and not cache.folder.exists()


def test_the_isolated_path_looks_before_it_takes_a_process(portrait, tmp_path):
    cache = Cache(tmp_path / "cache")
    first = client.extract(portrait, SPOKEN, cache=cache)
    taken = [client.SHARED.take(threading.Event()) for _ in range(client.SHARED.size)]
    try:
        assert_same(client.extract(portrait, SPOKEN, cache=cache), first)  # would wait for ever
    finally:
        for worker in taken:
            client.SHARED.give_back(worker)
    assert_same(pipeline.extract(portrait, SPOKEN, cache=cache), first)  # both keep the same
    assert len(entries(cache)) == 1


@pytest.mark.slow
def test_two_processes_at_once(portrait, tmp_path):
    """Both find nothing, both write; whoever reads, reads something whole."""
    cache = Cache(tmp_path / "cache")
    command = [sys.executable, "-m", "extractors", str(portrait), "--transcript", "a day", "--cache", cache.folder]
    racing = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    printed = [process.communicate() for process in racing]
    assert [process.returncode for process in racing] == [0, 0], printed
    one, two = (out.split("seconds ")[0] for out, _ in printed)
    assert one == two and "lovely" not in one and "day" in one
    (entry,) = entries(cache)  # and nothing half written beside it
    limits = configured_limits()  # those of the command; other limits are another entry
    again = pipeline.extract(portrait, "a day", limits=limits, cache=cache)
    assert_same(again, load(entry))  # its seconds are those of one of the two
    assert entries(cache) == [entry]
    assert_same(untimed(load(entry)), untimed(pipeline.extract(portrait, "a day")))


def test_many_threads_write_and_read_one_entry(kept):
    cache, file, _, _ = kept
    same = features.clip(seed=5)
    failures = []

    def fetch():
        try:
            for _ in range(20):
                for entry in entries(cache):
                    entry.unlink(missing_ok=True)
                assert_same(cache.fetch(file, ExtractionConfig(), lambda: same), same)
        except BaseException as error:
            failures.append(error)

    for entry in entries(cache):
        entry.unlink()
    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
