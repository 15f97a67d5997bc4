"""MMSA's files: read as they are, repaired where known, refused where wrong, converted once."""

import json

import numpy as np
import pytest
import torch

from alignmamba.batch import collate
from alignmamba.modality import MODALITIES, Modality
from tests.training.data import mmsa_files
from training.data import datasets, mmsa


@pytest.fixture(params=["aligned", "unaligned"])
def kind(request):
    return request.param


def content(kind):
    return mmsa_files.stored(aligned=kind == "aligned")


def read(tmp_path, made, **options):
    file = mmsa_files.write(tmp_path / "file.pkl", made)
    return datasets.read("mmsa", file, cache=tmp_path / "cache", **options)


def cached(tmp_path):
    return [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_every_clip_is_read_as_it_stands_in_the_file(kind, tmp_path):
    made = content(kind)
    found = read(tmp_path, made)
    assert (found.name, found.level) == (f"mosi-{kind}", "clip")
    assert found.dims == {Modality.AUDIO: 5, Modality.VIDEO: 20, Modality.LANGUAGE: 768}
    for split, count in mmsa_files.COUNTS.items():
        assert len(found.splits[split]) == count
        for row, example in enumerate(found.splits[split]):
            assert example.id == made[split]["id"][row]
            assert example.score.tolist() == [made[split]["regression_labels"][row]]
            words = made[split]["text_bert"][row, 1].sum()
            assert example.clip[Modality.LANGUAGE].mask.sum() == words
            for modality, key in mmsa.KEYS.items():
                steps = example.clip[modality]
                length = words
                if kind == "unaligned" and modality is not Modality.LANGUAGE:
                    length = made[split][f"{key}_lengths"][row]
                np.testing.assert_array_equal(steps.values.numpy(), made[split][key][row][:length])
                assert steps.mask.all()
                assert steps.seconds.tolist() == list(range(length))
    collate([example.clip for example in found.splits["train"]])
    assert found.notes == ("not a file whose hash MMSA publishes",)


def test_it_is_converted_once_and_read_alike_again(kind, tmp_path, monkeypatch):
    made = content(kind)
    first = read(tmp_path, made)
    digest = first.data_sha256["file.pkl"]
    assert sorted(path.name for path in cached(tmp_path)) == ["arrays.safetensors", "header.json"]
    assert (tmp_path / "cache" / digest).is_dir()
    header = json.loads((tmp_path / "cache" / digest / "header.json").read_text())
    assert header["aligned"] is (kind == "aligned")

    def never(*_, **__):
        raise AssertionError("the pickle was opened again")

    monkeypatch.setattr(mmsa.unpickle, "load", never)
    again = read(tmp_path, made)
    assert (again.name, again.notes, again.data_sha256) == (first.name, first.notes, first.data_sha256)
    for split in datasets.SPLITS:
        for one, two in zip(first.splits[split], again.splits[split], strict=True):
            assert (one.id, one.score.tolist()) == (two.id, two.score.tolist())
            for modality in MODALITIES:
                for here, there in zip(one.clip[modality], two.clip[modality], strict=True):
                    assert torch.equal(here, there)


def test_infinities_of_audio_become_zero_and_are_counted(tmp_path):
    made = content("unaligned")
    made["train"]["audio"][0, 0, :3] = -np.inf
    made["train"]["audio"][1, 1, 0] = -np.inf
    made["test"]["audio"][2, 0, 0] = np.nan
    found = read(tmp_path, made)
    assert found.notes[1:] == ("4 values of -inf in audio replaced by 0", "1 values of NaN in audio replaced by 0")
    assert found.splits["train"][0].clip[Modality.AUDIO].values[0, :3].tolist() == [0, 0, 0]
    assert read(tmp_path, made).notes == found.notes  # also from the converted file


def test_steps_without_anything_are_masked_on_one_grid(tmp_path):
    made = content("aligned")
    spoken = int(made["train"]["text_bert"][0, 1].sum())
    made["train"]["vision"][0, 1] = 0  # no face in the second word
    made["train"]["audio"][1] = 0  # no voice at all
    found = read(tmp_path, made).splits["train"]
    steps = found[0].clip[Modality.VIDEO]
    assert steps.mask.tolist() == [step != 1 for step in range(spoken)]
    assert {len(one.mask) for one in found[0].clip.values()} == {spoken}
    assert set(found[1].clip) == {Modality.VIDEO, Modality.LANGUAGE}


def test_padding_on_the_left_is_cut_too(tmp_path):
    made = content("aligned")
    for split in made.values():
        split["text_bert"][0, 1] = split["text_bert"][0, 1][::-1]
        for key in mmsa.KEYS.values():
            split[key][0] = split[key][0][::-1].copy()
    words = int(made["test"]["text_bert"][0, 1].sum())
    clip = read(tmp_path, made).splits["test"][0].clip
    for modality, key in mmsa.KEYS.items():
        np.testing.assert_array_equal(clip[modality].values.numpy(), made["test"][key][0][50 - words :])
        assert clip[modality].seconds[0] == 50 - words


def change(part, key, value):
    def applied(made):
        made[part][key] = value(made[part][key]) if callable(value) else value

    return applied


def put(part, key, index, value):
    def applied(made):
        made[part][key][index] = value

    return applied


WRONG = {
    "a label that is NaN": (put("train", "regression_labels", 3, np.nan), "train, regression_labels: nan, expected"),
    "a label beyond 3": (put("test", "regression_labels", 0, 3.2), r"test, regression_labels: 3\.2\d*, expected"),
    "labels of two axes": (change("train", "regression_labels", lambda x: x[:, None]), "expected numbers with 1 axes"),
    "labels of text": (change("train", "regression_labels", ["good"] * 12), "regression_labels: <U4 of shape"),
    "a split without clips": (change("valid", "regression_labels", lambda x: x[:0]), "valid: no clip"),
    "too few clips of audio": (change("train", "audio", lambda x: x[:-1]), r"audio: shape \(11, .*expected \(12, "),
    "audio of two axes": (change("train", "audio", lambda x: x[:, 0]), "audio: float32 of shape"),
    "audio without steps": (change("train", "audio", lambda x: x[:, :0]), r"audio: shape \(12, 0, 5\)"),
    "other columns in one part": (change("test", "vision", lambda x: x[:, :, 1:]), "test: columns .*'vision': 19"),
    "NaN in vision": (put("train", "vision", (0, 0, 0), np.nan), "vision: NaN or inf"),
    "inf in text": (put("train", "text", (0, 0, 0), np.inf), "text: NaN or inf"),
    "a token mask of another shape": (change("train", "text_bert", lambda x: x[:, :2]), "text_bert: shape"),
    "a length beyond the end": (
        put("train", "audio_lengths", 0, 41),
        "expected 12 numbers from 0 to 40",
    ),
    "a length below 0": (put("train", "vision_lengths", 0, -1), "vision_lengths: expected 12 numbers"),
    "an id without its mark": (put("train", "id", 0, "video_1"), r"id: 'video_1', expected video\$_\$clip"),
    "ids of numbers": (change("train", "id", list(range(12))), "id: expected 12 texts"),
    "an id twice": (put("test", "id", 0, "test_1$_$1"), r"test_1\$_\$1: stands here twice"),
    "lengths in one part only": (lambda made: made["train"].pop("audio_lengths"), "expected"),
    "no audio": (lambda made: made["train"].pop("audio"), "train: audio is missing"),
    "no test part": (lambda made: made.pop("test"), "no dictionary of"),
    "a part that is a list": (lambda made: made.update(valid=[1]), "valid: list, expected a dictionary"),
    "nothing in a clip": (
        lambda made: [made["train"][key].__setitem__(0, 0) for key in ("audio", "vision", "text")],
        "no valid step in any modality",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused_and_nothing_is_written(case, tmp_path):
    made = content("unaligned")
    corrupt, message = WRONG[case]
    corrupt(made)
    with pytest.raises(ValueError, match=message):
        read(tmp_path, made)
    assert cached(tmp_path) == []


def test_aligned_parts_must_share_a_grid(tmp_path):
    made = content("aligned")
    made["train"]["audio"] = made["train"]["audio"][:, :40]
    with pytest.raises(ValueError, match=r"train: steps .* expected one number in an aligned file"):
        read(tmp_path, made)


def test_token_ids_are_no_features(tmp_path):
    with pytest.raises(ValueError, match="text: 'text_bert', expected 'text'"):
        read(tmp_path, content("aligned"), text="text_bert")


def test_published_hashes_are_hashes():
    assert len(mmsa.PUBLISHED) == 4
    assert all(len(digest) == 64 and set(digest) <= set("0123456789abcdef") for digest in mmsa.PUBLISHED)
