"""A folder of one's own clips: the table is checked before any work, then clips become examples."""

import numpy as np
import pytest

from alignmamba.batch import collate
from alignmamba.modality import Modality
from extractors.pipeline import SCHEMA
from tests.extractors.support.clips import every, grey, make_clip, tone
from training.data import datasets, labelled

CLIPS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Short clips with a voice-like tone, a grey picture, and a file that is no clip."""
    made = tmp_path_factory.mktemp("own")
    (made / "part").mkdir()
    for number in range(CLIPS):
        make_clip(made / "part" / f"{number}.mkv", sound=tone(0.6 + number / 10), frames=every(0.6, grey(90)))
    (made / "part" / "broken.mkv").write_bytes(b"not a video")
    return made


def table(folder, *lines, header="video,label"):
    (folder / "labels.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return folder


def test_clips_become_examples_and_broken_ones_are_told(folder, tmp_path):
    splits = ["train", "train", "valid", "test"]
    lines = [f"part/{number}.mkv,{number - 1},so good number {number},{splits[number]}" for number in range(CLIPS)]
    table(folder, *lines, "part/broken.mkv,3,none,train", header="video,label,transcript,split")
    found = datasets.read("clips", folder, cache=tmp_path / "features")
    assert (found.name, found.level) == ("clips", "clip")
    assert {split: [example.score.tolist() for example in part] for split, part in found.splits.items()} == {
        "train": [[-1.0], [0.0]],
        "valid": [[1.0]],
        "test": [[2.0]],
    }
    assert len(found.notes) == 1
    assert found.notes[0].startswith("1 of 5 clips left out: ")
    assert list(found.data_sha256) == ["labels.csv"]
    example = found.splits["train"][0]
    assert set(example.clip) == {Modality.AUDIO, Modality.LANGUAGE}  # a grey picture shows no face
    assert found.dims == {Modality.AUDIO: SCHEMA.audio.dim, Modality.LANGUAGE: SCHEMA.language.dim}
    words = example.clip[Modality.LANGUAGE]
    assert len(words.mask) == 4
    assert 0 < words.seconds[0] < words.seconds[-1] < 0.6
    collate([one.clip for part in found.splits.values() for one in part])
    again = datasets.read("clips", folder, cache=tmp_path / "features")  # nothing is extracted a second time
    assert again.notes == ("1 of 5 clips left out: failed before",)
    np.testing.assert_array_equal(
        again.splits["train"][0].clip[Modality.AUDIO].values, example.clip[Modality.AUDIO].values
    )


def test_without_a_column_clips_are_dealt_by_their_paths(folder):
    lines = [f"part/{number}.mkv,1" for number in range(CLIPS)]
    rows = labelled.read_labels(table(folder, *lines) / "labels.csv")
    dealt = labelled.deal(rows)
    assert sorted(dealt.values()) == ["test", "train", "train", "valid"]
    backwards = labelled.read_labels(table(folder, *reversed(lines)) / "labels.csv")
    assert labelled.deal(backwards) == dealt


WRONG = {
    "an unknown column": (["part/0.mkv,1,5"], "video,label,age", r"columns unknown \['age'\], expected video, label"),
    "no label column": (["part/0.mkv"], "video", r"columns \['label'\] missing"),
    "a column twice": (["part/0.mkv,1,1"], "video,label,label", "columns one twice"),
    "a label that is NaN": (["part/0.mkv,nan"], "video,label", r"line 2, label: 'nan', expected a number in \[-3, 3\]"),
    "a label of text": (["part/0.mkv,1", "part/1.mkv,good"], "video,label", "line 3, label: 'good'"),
    "a label beyond 3": (["part/0.mkv,3.1"], "video,label", "line 2, label: '3.1'"),
    "an endless label": (["part/0.mkv,-inf"], "video,label", "line 2, label: '-inf'"),
    "a missing file": (["part/9.mkv,1"], "video,label", "line 2, video: there is no file 'part/9.mkv'"),
    "a folder": (["part,1"], "video,label", "there is no file 'part'"),
    "a way out of the folder": (["../x.mkv,1"], "video,label", "video: '../x.mkv', expected a path below the folder"),
    "a path from the root": (["/etc/passwd,1"], "video,label", "video: '/etc/passwd', expected a path below"),
    "no name": ([",1"], "video,label", "video: '', expected a path"),
    "a name without end": (["x" * 5000 + ".mkv,1"], "video,label", "line 2, video: there is no file"),
    "a clip twice": (["part/0.mkv,1", "part//0.mkv,1"], "video,label", "line 3: 'part/0.mkv' stands here twice"),
    "a split of another name": (["part/0.mkv,1,dev"], "video,label,split", "split: 'dev', expected one of"),
    "a split left open": (["part/0.mkv,1,train", "part/1.mkv,1,"], "video,label,split", "line 3, split: ''"),
    "a field too many": (["part/0.mkv,1,2"], "video,label", "line 2: 3 fields, expected 2"),
    "nothing": ([], "video,label", "0 clips, expected 1 to"),
    "a quote that never ends": (['"part/0.mkv,1'], "video,label", "expected CSV in UTF-8"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_table_is_refused_and_nothing_is_written(case, folder, tmp_path):
    lines, header, message = WRONG[case]
    table(folder, *lines, header=header)
    with pytest.raises(ValueError, match=message):
        datasets.read("clips", folder, cache=tmp_path / "features")
    assert not (tmp_path / "features").exists()


def test_no_table_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"labels.csv: No such file.*, expected a table in the folder of clips"):
        datasets.read("clips", tmp_path)


def test_bytes_that_are_no_text_are_told(folder, tmp_path):
    (folder / "labels.csv").write_bytes(b"video,label\n\xff\xfe\x00,1\n")
    with pytest.raises(ValueError, match="expected CSV in UTF-8"):
        datasets.read("clips", folder, cache=tmp_path / "features")
