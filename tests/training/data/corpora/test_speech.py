"""The split of the speakers, and recordings read, changed and kept."""

import csv
from collections import Counter, defaultdict

import av
import numpy as np
import pytest

from extractors.audio.acoustic import FILLED_COLUMNS
from extractors.audio.statistics import NAMES
from training.data.corpora import speech


def _table():
    with speech.SPLIT_FILE.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_no_speaker_stands_twice_in_the_split_and_the_shares_hold():
    rows = _table()
    assert max(Counter(row["speaker"] for row in rows).values()) == 1
    corpora = defaultdict(Counter)
    for row in rows:
        assert row["speaker"].startswith(row["corpus"])
        corpora[row["corpus"]][row["split"]] += 1
    assert {name: sum(found.values()) for name, found in corpora.items()} == {
        "ased": 65, "emodb": 10, "ravdess": 24, "savee": 4, "turev": 6,
    }  # fmt: skip
    for found in corpora.values():
        for split, share in speech.SHARES.items():
            assert found[split] == max(1, round(share * sum(found.values())))


def test_the_committed_split_is_the_one_that_is_drawn():
    rows = _table()
    drawn = speech.draw_split((row["corpus"], row["speaker"]) for row in reversed(rows))
    assert drawn == {row["speaker"]: row["split"] for row in rows} == speech.speaker_splits()


def _write(path, seconds, *, rate=16_000, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(seed).normal(0, 0.01, len(time))
    samples = (0.3 * np.sign(np.sin(2 * np.pi * 150 * time)) + noise) * 32767
    with av.open(str(path), "w") as file:
        stream = file.add_stream("flac", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples.astype(np.int16)[None], "s16", "mono")
        frame.sample_rate = rate
        for part in (frame, None):
            file.mux(stream.encode(part))
    return samples / 32767


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three recordings: a speaker of training, one of validation, one of test."""
    folder = tmp_path_factory.mktemp("data")
    header = ["path", "corpus", "speaker", "emotion"]
    rows = [
        ["speech/a.flac", "savee", "savee_JE", "happy"],
        ["speech/b.flac", "savee", "savee_JK", "sad"],
        ["speech/c.flac", "ased", "ased_01", "bored"],
    ]
    for number, row in enumerate(rows):
        _write(folder / row[0], 1.0, seed=number)
    for name, part in zip(speech.MANIFESTS, (rows[:2], rows[2:]), strict=True):
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *part])
    return folder


def test_recordings_are_read_with_their_split(data):
    found = speech.read(data)
    assert [(each.speaker, each.split) for each in found] == [
        ("savee_JE", "train"),
        ("savee_JK", "valid"),
        ("ased_01", "test"),
    ]
    assert [each.score for each in found] == [2.0, -1.5, -0.5]


def test_a_waveform_is_read_as_it_was_written(tmp_path):
    written = _write(tmp_path / "a.flac", 0.5)
    np.testing.assert_allclose(speech.waveform(tmp_path / "a.flac"), written, atol=1e-4)
    _write(tmp_path / "b.flac", 0.5, rate=22_050)
    with pytest.raises(ValueError, match=r"b\.flac: 22050 Hz, expected 16000"):
        speech.waveform(tmp_path / "b.flac")


def test_sequences_have_copies_in_training_only_and_are_kept(data, tmp_path, monkeypatch):
    found = speech.sequences(data, tmp_path, whisper=True, copies=1)
    assert [len(each.copies) for each in found] == [1, 0, 0]
    for each in (*found, *found[0].copies):
        assert each.values.shape[1] == len(FILLED_COLUMNS) and each.statistics.shape == (len(NAMES) + 512,)
        assert np.isfinite(each.values).all() and np.isfinite(each.statistics).all()
    assert not np.array_equal(found[0].statistics, found[0].copies[0].statistics)
    monkeypatch.setattr(speech, "waveform", None)  # nothing is extracted again
    again = speech.sequences(data, tmp_path, whisper=False, copies=1)
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
        np.testing.assert_array_equal(one.statistics[: len(NAMES)], other.statistics)


def test_narrow_recordings_differ_from_plain_ones(data, tmp_path):
    recordings = speech.read(data)
    plain, narrow = (speech.features(recordings, data, tmp_path, variant=name) for name in ("plain", "narrow"))
    for one, other in zip(plain, narrow, strict=True):
        assert one.rows.shape == other.rows.shape and not np.allclose(one.rows, other.rows)
