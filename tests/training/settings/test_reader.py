"""Settings: the committed files are valid, and what is wrong is refused with a sentence."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from alignmamba.config import ModelConfig
from alignmamba.modality import Modality
from tests.paths import ROOT
from training.baselines import registry
from training.data.benchmark import Robustness
from training.data.mosi import FOLDS
from training.experiments.settings import Settings
from training.settings.reader import parse, read_yaml
from training.trainer import TrainConfig

FOLDER = ROOT / "training" / "settings"
FILES = sorted(FOLDER.glob("*.yaml"))
DIMS = {"audio_dim": 1, "video_dim": 1, "language_dim": 1}


@dataclass(frozen=True, kw_only=True)
class Example:
    """A class with a field of each kind."""

    name: str
    count: int = 1
    rate: float = 0.5
    kinds: tuple[str, ...] = ()
    shares: Mapping[str, float] = field(default_factory=dict)


def test_plain_types_become_a_frozen_dataclass():
    plain = {"name": "a", "rate": 1, "kinds": ["x", "y"], "shares": {"audio": 0.5}}
    assert parse(Example, plain, where="example") == Example(name="a", rate=1, kinds=("x", "y"), shares={"audio": 0.5})
    ordered = parse(ModelConfig, {**DIMS, "order": ["video", "audio", "language"]}, where="model config")
    assert ordered.order == (Modality.VIDEO, Modality.AUDIO, Modality.LANGUAGE)
    assert all(isinstance(modality, Modality) for modality in ordered.order)


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"name": "a", "nmae": "b"}, r"example: unknown settings \['nmae'\]"),
        ({}, "example: name: missing, expected a value"),
        ({"name": 3}, "example: name: 3, expected str"),
        ({"name": "a", "count": "3"}, "example: count: '3', expected int"),
        ({"name": "a", "count": 1.5}, "example: count: 1.5, expected int"),
        ({"name": "a", "rate": "1e-3"}, "example: rate: '1e-3', expected float"),
        ({"name": "a", "kinds": "xy"}, "example: kinds: 'xy', expected tuple"),
        ({"name": "a", "shares": {"audio": "much"}}, "example: shares: .*'much'.*expected .*Mapping"),
        ({"name": "a", "shares": [1]}, "example: shares: .*expected .*Mapping"),
    ],
)
def test_wrong_settings_are_named(plain, message):
    with pytest.raises(ValueError, match=message):
        parse(Example, plain, where="example")


@pytest.mark.parametrize(
    ("kind", "plain", "message"),
    [
        (TrainConfig, {"epoch": 3}, r"unknown settings \['epoch'\]"),
        (TrainConfig, {"epochs": 0}, "epochs: 0, expected more than 0"),
        (Robustness, {"drop": 2.0}, "drop: 2.0, expected a share"),
        (ModelConfig, {**DIMS, "width": 0}, "width: 0, expected at least 1"),
        (ModelConfig, {**DIMS, "local": "other"}, "local: 'other', expected"),
    ],
)
def test_ranges_are_checked(kind, plain, message):
    with pytest.raises(ValueError, match=message):
        parse(kind, plain, where="settings")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_committed_files_are_valid(path):
    if path.stem.endswith("-candidates"):
        changed = [each for each in FILES if path.stem.startswith(f"{each.stem}-")]
        base = Settings.read(max(changed, key=lambda each: len(each.stem)))
        changes = [change or {} for change in read_yaml(path).values()]
    else:
        base, changes = Settings.read(path), [{}]
    for name in base.models or registry.MAIN:
        for change in changes:
            parts = {part: {**base.of(name, part), **change.get(part, {})} for part in ("model", "train", "robustness")}
            dataset = {**DIMS, "level": "step" if base.dataset == "mosi-utterance" else "clip"}
            parse(ModelConfig, {**parts["model"], **dataset}, where="model config")
            parse(TrainConfig, parts["train"], where="train config")
            parse(Robustness, parts["robustness"], where="robustness")


def test_the_folds_of_mosi_have_the_settings_of_its_table():
    table, folds = (Settings.read(FOLDER / f"{name}.yaml") for name in ("mosi-utterance", "mosi-utterance-folds"))
    assert (table.folds, folds.folds) == (1, FOLDS)
    assert replace(folds, folds=1) == table


def test_yaml_is_a_mapping_of_plain_types(tmp_path: Path):
    file = tmp_path / "a.yaml"
    file.write_text("epochs: 3\nlearning_rate: 0.01\n")
    assert parse(TrainConfig, read_yaml(file), where="train config") == TrainConfig(epochs=3, learning_rate=0.01)
    for text, message in (
        ("- 1\n", "expected a mapping"),
        ("a: [\n", "cannot be read as YAML"),
        ("!!python/object/apply:os.system ['true']\n", "cannot be read as YAML"),
    ):
        file.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_yaml(file)
