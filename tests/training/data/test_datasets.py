"""The common form of datasets, batches, and the readers of MOSI utterances, ICT-MMMO and sentences."""

import csv
import re
import shutil
import zipfile

import h5py
import numpy as np
import pytest

from alignmamba.batch import collate
from alignmamba.modality import MODALITIES, Modality
from extractors.pipeline import SCHEMA
from tests.paths import DATA
from training.data import datasets, masking
from training.data.datasets import Dataset, Example, as_steps, batches, length_buckets, share_of
from training.data.mosi import FOLDS

MOSI = DATA / "mosi_utterance" / "mosi_utt_tav.npz"
MMMO = DATA / "mmmo"


def words(name, *, score=1.0, steps=3, dim=4):
    values = np.ones((steps, dim), np.float32)
    return Example(id=name, clip={Modality.LANGUAGE: as_steps(values)}, score=np.array([score], np.float32))


def dataset(*, level="clip", **splits):
    given = {"train": (words("a"),), "valid": (words("b"),), "test": (words("c"),)} | splits
    return Dataset(name="made up", level=level, splits=given, data_sha256={})


def two_modalities(name, values):
    clip = {Modality.LANGUAGE: as_steps(np.ones((3, 4))), Modality.VIDEO: as_steps(values)}
    return Example(id=name, clip=clip, score=np.zeros(1, np.float32))


def test_dims_are_of_all_modalities_that_occur():
    found = dataset(test=(two_modalities("c", np.ones((2, 7))),))
    assert found.dims == {Modality.VIDEO: 7, Modality.LANGUAGE: 4}
    assert list(found.dims) == [Modality.VIDEO, Modality.LANGUAGE]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"level": "frame"}, "level: 'frame'"),
        ({"valid": ()}, "made up, valid: no example"),
        ({"test": (words("a"),)}, "made up, a: stands here twice"),
        ({"test": (words("c", score=3.5),)}, r"c: score \[3.5\], expected finite numbers in \[-3, 3\]"),
        ({"test": (words("c", score=float("nan")),)}, r"c: score \[nan\]"),
        ({"test": (words("c", dim=5),)}, "c: 5 columns of language, expected 4"),
        ({"test": (two_modalities("c", np.full((2, 2), np.inf)),)}, "c: video holds NaN or inf"),
        ({"level": "step"}, r"a: 1 labels, expected \[3\] at level 'step'"),
        ({"extra": (words("d"),)}, "splits: .*extra"),
    ],
)
def test_what_does_not_fit_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        dataset(**given)


def test_clips_without_any_valid_step_are_refused():
    blind = Example(
        id="c", clip={Modality.VIDEO: as_steps(np.zeros((2, 7)), np.zeros(2, bool))}, score=np.zeros(1, "f4")
    )
    with pytest.raises(ValueError, match="c: no valid step in any modality"):
        dataset(test=(blind,))


def test_batches_hold_every_example_once_and_like_lengths():
    rng = np.random.default_rng(0)
    examples = [words(str(number), steps=int(rng.integers(1, 60))) for number in range(300)]
    found = list(batches(examples, 32, np.random.default_rng(1)))
    assert sorted(example.id for batch in found for example in batch) == sorted(example.id for example in examples)
    assert [len(batch) for batch in found].count(32) == 9
    lengths = [[len(example.clip[Modality.LANGUAGE].mask) for example in batch] for batch in found]
    assert max(max(batch) - min(batch) for batch in lengths) < 15
    assert [batch[0] for batch in lengths] != sorted(batch[0] for batch in lengths)
    again = list(batches(examples, 32, np.random.default_rng(1)))
    assert [[example.id for example in batch] for batch in again] == [[e.id for e in batch] for batch in found]
    with pytest.raises(ValueError, match="size: 0, expected at least 1"):
        next(batches(examples, 0, rng))


def test_buckets_of_nothing_are_none():
    assert length_buckets([], 4, np.random.default_rng(0)) == []


def test_places_of_names_are_even_and_fixed():
    shares = [share_of(f"video {number}") for number in range(4000)]
    assert abs(np.mean(np.array(shares) < 0.12) - 0.12) < 0.02
    assert share_of("03bSnISJMiM") == 0.8586


def test_unknown_names_and_places_are_told(tmp_path):
    with pytest.raises(ValueError, match=r"dataset: 'mosy', expected one of \['clips', 'mmmo', 'mmsa', "):
        datasets.read("mosy", tmp_path)
    with pytest.raises(FileNotFoundError, match="mmmo: there is no "):
        datasets.read("mmmo", tmp_path / "none")


# MOSI utterances


def mosi_arrays():
    """Three videos whose rows are mixed, as a file of the same form."""
    rng = np.random.default_rng(0)
    videos = np.array(["v1", "v2", "v1", "v3", "v1", "v2"])
    arrays = {
        "video": videos,
        "seg": np.array([3, 1, 1, 1, 2, 5]),
        "label": np.array([0.3, -1, 0.1, 3, 0.2, -3], np.float32),
        "bclstm_split": np.where(videos == "v3", "test", "train"),
    }
    return arrays | {f"x_{kind}": rng.normal(size=(6, dim)) for kind, dim in (("text", 4), ("audio", 3), ("video", 2))}


def test_a_video_is_the_sequence_of_its_utterances(tmp_path, monkeypatch):
    arrays = mosi_arrays()
    np.savez(tmp_path / "x.npz", **arrays)
    monkeypatch.setattr("training.data.mosi.share_of", {"v1": 0.5, "v2": 0.01}.__getitem__)
    found = datasets.read("mosi-utterance", tmp_path / "x.npz")
    assert {split: [e.id for e in part] for split, part in found.splits.items()} == {
        "train": ["v1"],
        "valid": ["v2"],
        "test": ["v3"],
    }
    video = found.splits["train"][0]
    assert video.score == pytest.approx([0.1, 0.2, 0.3])
    np.testing.assert_allclose(video.clip[Modality.AUDIO].values, arrays["x_audio"][[2, 4, 0]], rtol=1e-6)
    assert video.clip[Modality.LANGUAGE].seconds.tolist() == [0, 1, 2]


def test_a_centred_modality_has_no_mean_over_a_video(tmp_path, monkeypatch):
    arrays = mosi_arrays()
    np.savez(tmp_path / "x.npz", **arrays)
    monkeypatch.setattr("training.data.mosi.share_of", {"v1": 0.5, "v2": 0.01}.__getitem__)
    found = datasets.read("mosi-utterance", tmp_path / "x.npz", centred=["audio"])
    video = found.splits["train"][0].clip
    rows = [2, 4, 0]
    expected = arrays["x_audio"][rows] - arrays["x_audio"][rows].mean(0)
    np.testing.assert_allclose(video[Modality.AUDIO].values, expected, atol=1e-6)
    np.testing.assert_allclose(video[Modality.LANGUAGE].values, arrays["x_text"][rows], rtol=1e-6)
    assert "audio: mean over each video taken away" in found.notes
    with pytest.raises(ValueError, match=r"centred: \['sound'\], expected some of"):
        datasets.read("mosi-utterance", tmp_path / "x.npz", centred=["sound"])


def test_folds_deal_the_training_videos_and_leave_the_test_videos_out(tmp_path):
    videos = np.array([f"v{number}" for number in range(60)])
    split = np.where(np.arange(60) < 50, "train", "test")
    arrays = {"video": videos, "seg": np.ones(60), "label": np.ones(60, np.float32), "bclstm_split": split}
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "x.npz", **arrays, **{f"x_{kind}": rng.normal(size=(60, 2)) for kind in ("text", "audio", "video")}
    )
    whole = datasets.read("mosi-utterance", tmp_path / "x.npz")
    assert not whole.features_saw_test
    tested = []
    for fold in range(FOLDS):
        found = datasets.read("mosi-utterance", tmp_path / "x.npz", fold=fold)
        assert found.features_saw_test
        assert found.name != whole.name  # its masks and results are others
        ids = {part: {example.id for example in examples} for part, examples in found.splits.items()}
        assert set.union(*ids.values()) == set(videos[:50])
        assert len(ids["test"]) in (12, 13)
        assert ids["valid"] <= {example.id for example in whole.splits["valid"]}
        tested += ids["test"]
    assert sorted(tested) == sorted(videos[:50])
    with pytest.raises(ValueError, match="fold: 4, expected 0 to 3"):
        datasets.read("mosi-utterance", tmp_path / "x.npz", fold=4)


def test_the_standard_split_is_refused_and_the_leak_explained(tmp_path):
    np.savez(tmp_path / "x.npz", **mosi_arrays())
    with pytest.raises(ValueError, match=r"split: 'standard', expected 'bclstm': .*558 of the 686 .*bogus 94 %"):
        datasets.read("mosi-utterance", tmp_path / "x.npz", split="standard")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"label": np.full(6, 4.0)}, r"score \[4.0.*\[-3, 3\]"),
        ({"label": np.full(6, np.nan)}, r"score \[nan"),
        ({"seg": np.arange(5)}, "expected one number"),
        ({"bclstm_split": np.array(["train"] * 2 + ["test"] * 4)}, r"video v1: bclstm_split \['test', 'train'\]"),
        ({"bclstm_split": np.array(["train"] * 6)}, "test: no example"),
        ({"x_audio": np.array([None] * 6, dtype=object)}, "Object arrays|allow_pickle"),
    ],
)
def test_files_of_another_form_are_refused(changed, message, tmp_path, monkeypatch):
    np.savez(tmp_path / "x.npz", **(mosi_arrays() | changed))
    monkeypatch.setattr("training.data.mosi.share_of", {"v1": 0.5, "v2": 0.01, "v3": 0.5}.__getitem__)
    with pytest.raises(ValueError, match=message):
        datasets.read("mosi-utterance", tmp_path / "x.npz")


def test_an_npz_whose_headers_claim_more_than_it_holds_is_not_read(tmp_path):
    np.savez(tmp_path / "whole.npz", **mosi_arrays())
    with zipfile.ZipFile(tmp_path / "whole.npz") as whole, zipfile.ZipFile(tmp_path / "x.npz", "w") as lying:
        for name in whole.namelist():
            content = whole.read(name)
            if name == "x_audio.npy":
                shape = re.search(rb"\((\d+), (\d+)\)", content)
                claimed = b"(%d, %d)" % (9_000_000_000, int(shape[2]))
                spaces = len(claimed) - len(shape[0])
                content = content.replace(shape[0], claimed, 1).replace(b" " * spaces + b"\n", b"\n", 1)
            lying.writestr(name, content)
    with pytest.raises(ValueError, match=r"x_audio has the shape .*, expected one that fits its bytes"):
        datasets.read("mosi-utterance", tmp_path / "x.npz")


def test_no_npz_file_is_refused(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04 no")
    with pytest.raises(ValueError, match=r"no zip file, expected an \.npz file"):
        datasets.read("mosi-utterance", tmp_path / "x.npz")
    np.savez(tmp_path / "y.npz", video=np.arange(2))
    with pytest.raises(ValueError, match=r"y.npz: arrays \['bclstm_split', .* missing"):
        datasets.read("mosi-utterance", tmp_path / "y.npz")


@pytest.mark.skipif(not MOSI.exists(), reason="needs mosi_utt_tav.npz")
def test_the_real_utterances():
    found = datasets.read("mosi-utterance", MOSI)
    counts = {split: sum(len(example.score) for example in part) for split, part in found.splits.items()}
    assert counts["train"] + counts["valid"] == 1447
    assert counts["test"] == 752
    assert {split: len(part) for split, part in found.splits.items()} == {"train": 53, "valid": 9, "test": 31}
    assert found.dims == {Modality.AUDIO: 73, Modality.VIDEO: 100, Modality.LANGUAGE: 100}
    masked = masking.random(found.splits["test"], rate=0.3, seed=1111)
    assert abs(masked.reached_rate - 0.3) < 0.03
    collate([masking.fill(example).clip for example in masked.examples])


# ICT-MMMO


def mmmo_files(folder, *, columns=(3, 2, 4), steps=6):
    """Small files of the same form: padding on the left in even rows, on the right in odd ones."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    lengths = {}
    for split, count in (("train", 12), ("valid", 7), ("test", 8)):
        lengths[split] = rng.integers(1, steps + 1, count)
        parts = {"audio_{}": columns[0], "video_{}": columns[1]}
        if split != "train":
            parts["text_{}_emb"] = columns[2]
        for name, dim in parts.items():
            values = rng.uniform(1, 2, (count, steps, dim))
            for row, length in enumerate(lengths[split]):
                values[row, slice(None, steps - length) if row % 2 == 0 else slice(length, None)] = 0
            save(folder / f"{name.format(split)}.h5", values)
        save(folder / f"y_{split}.h5", rng.integers(2, 11, count) / 2)
    return lengths


def save(path, values, key="d1"):
    with h5py.File(path, "w") as file:
        file[key] = values


def test_padding_on_either_side_is_cut(tmp_path):
    lengths = mmmo_files(tmp_path / "mmmo")
    found = datasets.read("mmmo", tmp_path / "mmmo")
    assert (found.name, found.level, len(found.data_sha256)) == ("mmmo", "clip", 9)
    assert found.dims == {Modality.AUDIO: 3, Modality.VIDEO: 2}
    for split, expected in lengths.items():
        assert [len(e.clip[Modality.AUDIO].mask) for e in found.splits[split]] == expected.tolist()
        assert all(steps.mask.all() for e in found.splits[split] for steps in e.clip.values())
    with h5py.File(tmp_path / "mmmo" / "y_test.h5") as file:
        labels = file["d1"][:]
    assert [e.score[0] for e in found.splits["test"]] == pytest.approx((labels - 3) * 1.5)
    assert "(label - 3) * 1.5" in found.notes[0]


def test_a_face_that_was_not_found_is_masked(tmp_path):
    lengths = mmmo_files(tmp_path / "mmmo")
    row = int(np.flatnonzero(lengths["train"][1::2] >= 3)[0] * 2 + 1)  # padded on the right
    with h5py.File(tmp_path / "mmmo" / "video_train.h5", "r+") as file:
        values = file["d1"][:]
        values[row, :2] = 0
        file["d1"][:] = values
    clip = datasets.read("mmmo", tmp_path / "mmmo").splits["train"][row].clip
    assert clip[Modality.VIDEO].mask.tolist()[:3] == [False, False, True]
    assert clip[Modality.AUDIO].mask.all()


def test_folds_test_every_review_once_and_never_train_on_it(tmp_path):
    mmmo_files(tmp_path / "mmmo")
    tested = []
    for fold in range(5):
        found = datasets.read("mmmo", tmp_path / "mmmo", modalities="avl", fold=fold, folds=5)
        assert found.name == "mmmo-avl"
        assert tuple(found.dims) == MODALITIES
        ids = {split: {example.id for example in part} for split, part in found.splits.items()}
        assert len(ids["train"] | ids["valid"] | ids["test"]) == sum(map(len, ids.values())) == 15
        assert not any(name.startswith("train") for name in set.union(*ids.values()))
        tested += sorted(ids["test"])
    assert len(tested) == len(set(tested)) == 15
    again = datasets.read("mmmo", tmp_path / "mmmo", modalities="avl", fold=0, folds=5)
    other = datasets.read("mmmo", tmp_path / "mmmo", modalities="avl", fold=0, folds=5, seed=1)
    assert sorted(example.id for example in again.splits["test"]) == tested[:3]
    assert sorted(example.id for example in other.splits["test"]) != tested[:3]


@pytest.mark.parametrize(
    ("corrupt", "message"),
    [
        (lambda folder: (folder / "video_test.h5").unlink(), "video_test.h5: is not in mmmo/"),
        (lambda folder: (folder / "video_test.h5").write_bytes(b"no HDF5"), "video_test.h5: .*expected an HDF5 file"),
        (
            lambda folder: save(folder / "y_test.h5", np.full(8, 6.0)),
            "labels from 6.0 to 6.0, expected 1..5",
        ),
        (lambda folder: save(folder / "y_test.h5", np.full(8, np.nan)), "y_test.h5: NaN or inf"),
        (lambda folder: save(folder / "y_test.h5", np.full(7, 2.0)), "test: .* and 7 labels, expected one grid"),
        (lambda folder: save(folder / "audio_test.h5", np.zeros((8, 6, 3))), "audio_test.h5: row 0 is empty"),
        (lambda folder: save(folder / "audio_test.h5", np.ones((8, 6, 9))), "9 columns of audio, expected 3"),
        (lambda folder: save(folder / "audio_test.h5", np.ones((8, 6))), "expected an array 'd1'"),
        (
            lambda folder: save(folder / "audio_test.h5", np.ones((8, 6, 3)), "d2"),
            "expected an array 'd1'",
        ),
    ],
)
def test_corrupted_files_are_refused(corrupt, message, tmp_path):
    mmmo_files(tmp_path / "mmmo")
    corrupt(tmp_path / "mmmo")
    with pytest.raises(ValueError, match=message):
        datasets.read("mmmo", tmp_path / "mmmo")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modalities": "l"}, "modalities: 'l', expected 'av' or 'avl'"),
        ({"modalities": "avl", "fold": 5}, "fold: 5 of 5"),
        ({"modalities": "avl", "folds": 2}, "at least 3 folds"),
    ],
)
def test_options_out_of_range_are_refused(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        datasets.read("mmmo", tmp_path, **options)


@pytest.mark.skipif(not MMMO.exists(), reason="needs the files of ICT-MMMO")
def test_the_real_reviews():
    found = datasets.read("mmmo", MMMO)
    assert {split: len(part) for split, part in found.splits.items()} == {"train": 220, "valid": 40, "test": 80}
    assert found.dims == {Modality.AUDIO: 74, Modality.VIDEO: 36}
    spoken = datasets.read("mmmo", MMMO, modalities="avl", fold=1)
    assert spoken.dims == {Modality.AUDIO: 74, Modality.VIDEO: 36, Modality.LANGUAGE: 300}
    assert sum(map(len, spoken.splits.values())) == 120


# Sentences


def test_sentences_are_clips_of_language(tmp_path):
    """The label tables as they are, cut to a few lines."""
    source = DATA / "text"
    if not source.exists():
        pytest.skip("needs the label tables of text/")
    folder = tmp_path / "text"
    folder.mkdir()
    for file in source.iterdir():
        if file.is_file():
            shutil.copy(file, folder)
    lines = (folder / "mosi_label.csv").read_text(encoding="utf-8").splitlines()
    kept = lines[:1] + lines[1:400:40] + lines[-400::40]
    (folder / "mosi_label.csv").write_text("\n".join(kept) + "\n", encoding="utf-8")
    for name in ("train", "dev", "test"):
        (folder / f"stsa.fine.{name}").write_text("3 a good film\n0 bad\n")
    for name in ("movie", "amazon"):
        file = folder / f"{name}ReviewSnippets_GroundTruth.txt"
        raw = file.read_text(encoding="utf-8", errors="replace").splitlines()
        file.write_text("\n".join(raw[:3]) + "\n", encoding="utf-8")
    found = datasets.read("text", tmp_path, cache=tmp_path / "cache")
    assert found.dims == {Modality.LANGUAGE: SCHEMA.language.dim}
    examples = [example for part in found.splits.values() for example in part]
    with (folder / "mosi_label.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    mosi = [example for example in examples if example.id.startswith("mosi-")]
    assert sorted(example.score[0] for example in mosi) == pytest.approx(sorted(float(row["label"]) for row in rows))
    good = next(example for example in found.splits["train"] if example.id.startswith("sst-"))
    assert (len(good.clip[Modality.LANGUAGE].mask), good.score[0]) == (3, 1.25)
    assert "mosi_label.csv" in found.data_sha256
    alone = datasets.read("text", tmp_path, cache=tmp_path / "cache", corpus="sst")
    assert {split: len(part) for split, part in alone.splits.items()} == {"train": 2, "valid": 2, "test": 2}
