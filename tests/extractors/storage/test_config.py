from __future__ import annotations

import pytest

from extractors import pipeline
from extractors.assets.registry import AssetError
from extractors.language.transcript import Transcript
from extractors.media.probe import Limits
from extractors.storage.config import ExtractionConfig
from tests.extractors.language.test_word_features import save_encoder
from tests.extractors.support.features import SPOKEN


def recogniser_folder(folder, weights=b"a"):
    """What looks like a recogniser from outside."""
    folder.mkdir(exist_ok=True)
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        (folder / name).write_text("{}")
    (folder / "model.bin").write_bytes(weights)
    return str(folder)


def test_the_plain_recipe_has_the_schema_of_checkpoints():
    assert (
        ExtractionConfig().schema() == pipeline.SCHEMA
        and ExtractionConfig().schema().to_dict() == pipeline.SCHEMA.to_dict()
    )


def test_whatever_decides_the_features_is_another_recipe(tmp_path):
    def changed(**fields):
        return ExtractionConfig(transcript="good", **fields)

    configs = [
        ExtractionConfig(),
        ExtractionConfig(limits=Limits(seconds=60.0)),
        ExtractionConfig(recogniser=recogniser_folder(tmp_path / "one")),
        ExtractionConfig(recogniser=recogniser_folder(tmp_path / "two")),  # the same, but a note names the folder
        ExtractionConfig(encoder=save_encoder(tmp_path / "encoder")),
        ExtractionConfig(descriptors="ComParE_2016"),
        ExtractionConfig(frame_rate=5.0),
        changed(),
        ExtractionConfig(transcript="Good"),
        ExtractionConfig(transcript=SPOKEN),
        ExtractionConfig(transcript=Transcript(words=SPOKEN.words, source="recognised", notes=SPOKEN.notes)),
        ExtractionConfig(transcript=Transcript(words=SPOKEN.words, source="given")),
        changed(limits=Limits(seconds=60.0)),
        changed(encoder=str(tmp_path / "encoder")),
        changed(descriptors="ComParE_2016"),
        changed(frame_rate=5.0),
    ]
    assert len({config.sha256() for config in configs}) == len(configs)


def test_what_decides_nothing_is_the_same_recipe(tmp_path):
    assert (
        ExtractionConfig(transcript=" \n").sha256() == ExtractionConfig().sha256()
        and ExtractionConfig(transcript=" \n").given is None
    )
    other = recogniser_folder(tmp_path / "recogniser")
    assert (
        ExtractionConfig(transcript="good", recogniser=other).sha256() == ExtractionConfig(transcript="good").sha256()
    )


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_an_encoders_files_count(tmp_path, name):
    encoder = save_encoder(tmp_path)
    before = ExtractionConfig(encoder=encoder).sha256()
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content + b" ")
    assert ExtractionConfig(encoder=encoder).sha256() != before
    (tmp_path / name).write_bytes(content)
    assert ExtractionConfig(encoder=encoder).sha256() == before


def test_a_recognisers_files_count(tmp_path):
    recogniser = recogniser_folder(tmp_path / "recogniser")
    before = ExtractionConfig(recogniser=recogniser).sha256()
    recogniser_folder(tmp_path / "recogniser", weights=b"longer")
    assert ExtractionConfig(recogniser=recogniser).sha256() != before


def test_what_cannot_be_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"frame_rate: 0.0, expected .* in \(0, 100\]"):
        ExtractionConfig(frame_rate=0.0)
    with pytest.raises(ValueError, match="descriptors: 'x', expected one of"):
        ExtractionConfig(descriptors="x")
    with pytest.raises(AssetError, match=r"has no config\.json"):
        ExtractionConfig(encoder=str(tmp_path)).sha256()
