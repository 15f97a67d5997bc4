from __future__ import annotations

import pytest

from extractors import pipeline
from extractors.assets.registry import AssetError
from extractors.language.transcript import Transcript
from extractors.media.probe import Limits
from extractors.schema import Word
from extractors.storage.recipe import Recipe
from tests.extractors.language.test_word_features import save_encoder

SPOKEN = Transcript(words=(Word(text="good", start=0.0, end=0.5),), source="given", notes=("By hand.",))


def recogniser_folder(folder, weights=b"a"):
    """What looks like a recogniser from outside."""
    folder.mkdir(exist_ok=True)
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        (folder / name).write_text("{}")
    (folder / "model.bin").write_bytes(weights)
    return str(folder)


def test_the_plain_recipe_has_the_schema_of_checkpoints():
    assert Recipe().schema() == pipeline.SCHEMA and Recipe().schema().to_dict() == pipeline.SCHEMA.to_dict()


def test_whatever_decides_the_features_is_another_recipe(tmp_path):
    def changed(**fields):
        return Recipe(transcript="good", **fields)

    recipes = [
        Recipe(),
        Recipe(limits=Limits(seconds=60.0)),
        Recipe(recogniser=recogniser_folder(tmp_path / "one")),
        Recipe(recogniser=recogniser_folder(tmp_path / "two")),  # the same, but a note names the folder
        Recipe(encoder=save_encoder(tmp_path / "encoder")),
        Recipe(descriptors="ComParE_2016"),
        Recipe(frame_rate=5.0),
        changed(),
        Recipe(transcript="Good"),
        Recipe(transcript=SPOKEN),
        Recipe(transcript=Transcript(words=SPOKEN.words, source="recognised", notes=SPOKEN.notes)),
        Recipe(transcript=Transcript(words=SPOKEN.words, source="given")),
        changed(limits=Limits(seconds=60.0)),
        changed(encoder=str(tmp_path / "encoder")),
        changed(descriptors="ComParE_2016"),
        changed(frame_rate=5.0),
    ]
    assert len({recipe.sha256() for recipe in recipes}) == len(recipes)


def test_what_decides_nothing_is_the_same_recipe(tmp_path):
    assert Recipe(transcript=" \n").sha256() == Recipe().sha256() and Recipe(transcript=" \n").given is None
    other = recogniser_folder(tmp_path / "recogniser")
    assert Recipe(transcript="good", recogniser=other).sha256() == Recipe(transcript="good").sha256()


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_an_encoders_files_count(tmp_path, name):
    encoder = save_encoder(tmp_path)
    before = Recipe(encoder=encoder).sha256()
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content + b" ")
    assert Recipe(encoder=encoder).sha256() != before
    (tmp_path / name).write_bytes(content)
    assert Recipe(encoder=encoder).sha256() == before


def test_a_recognisers_files_count(tmp_path):
    recogniser = recogniser_folder(tmp_path / "recogniser")
    before = Recipe(recogniser=recogniser).sha256()
    recogniser_folder(tmp_path / "recogniser", weights=b"longer")
    assert Recipe(recogniser=recogniser).sha256() != before


def test_what_cannot_be_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"frame_rate: 0.0, expected .* in \(0, 100\]"):
        Recipe(frame_rate=0.0)
    with pytest.raises(ValueError, match="descriptors: 'x', expected one of"):
        Recipe(descriptors="x")
    with pytest.raises(AssetError, match=r"has no config\.json"):
        Recipe(encoder=str(tmp_path)).sha256()
