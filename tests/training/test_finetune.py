"""Own clips move a checkpoint, or leave it as it is; what cannot be used is refused before anything is written."""

import json
import shutil

import pytest
import torch

from alignmamba import checkpoint
from alignmamba.config import ModelConfig
from alignmamba.modeling.model import AlignMamba
from extractors.pipeline import SCHEMA
from tests.alignmamba.fake_cuda import gpu
from tests.extractors.support.clips import every, grey, make_clip, tone
from training import finetune
from training.trainer import TrainConfig, fit

TRANSCRIPTS = ("it was good", "it was bad", "so good indeed", "so very bad", "good", "bad")
LABELS = (2, -2, 2, -2, 2, -2)
SPLITS = ("train", "train", "train", "train", "valid", "test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("own")
    lines = ["video,label,transcript,split"]
    for number, (said, label, split) in enumerate(zip(TRANSCRIPTS, LABELS, SPLITS, strict=True)):
        make_clip(made / f"{number}.mkv", sound=tone(0.5), frames=every(0.5, grey(90)))
        lines.append(f"{number}.mkv,{label},{said},{split}")
    (made / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return made


@pytest.fixture
def start(tmp_path):
    torch.manual_seed(1)
    dims = {f"{name}_dim": getattr(SCHEMA, name).dim for name in ("audio", "video", "language")}
    model = AlignMamba(ModelConfig(**dims, width=16, encoder_layers=0, fusion_layers=1, dropout=0.0))
    checkpoint.save(tmp_path / "start", model, schema=SCHEMA.to_dict())
    return tmp_path / "start"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def test_clips_are_learnt(folder, start, tmp_path, cache):
    config = TrainConfig(epochs=6, batch_size=4, learning_rate=1e-2)
    before, after = finetune.finetune(folder, start, tmp_path / "mine", config=config, cache=cache)
    assert after["mae"] < before["mae"]
    written = checkpoint.load(tmp_path / "mine")
    assert written.training["started_from"] == "start"
    assert written.schema == SCHEMA.to_dict()
    result = json.loads((tmp_path / "mine" / "metrics.json").read_text())
    assert [row["setting"] for row in result["rows"]] == ["before", "after"]
    assert result["rows"][1]["mae"] == after["mae"]


@pytest.mark.gpu_or_pretended
def test_a_gpu_is_used(folder, start, tmp_path, cache, monkeypatch):
    seen = []

    def noted(model, *arguments, **options):
        seen.append(next(model.parameters()).device.type)
        return fit(model, *arguments, **options)

    monkeypatch.setattr(finetune, "fit", noted)
    config = TrainConfig(epochs=1, batch_size=4, learning_rate=1e-2)
    shutil.rmtree(cache / "run", ignore_errors=True)  # of the test before: features stay
    with gpu():
        rows = finetune.finetune(folder, start, tmp_path / "gpu", config=config, cache=cache)
    assert seen == ["cuda"]
    shutil.rmtree(cache / "run", ignore_errors=True)
    again = finetune.finetune(folder, start, tmp_path / "cpu", config=config, cache=cache)
    assert rows[0]["mae"] == pytest.approx(again[0]["mae"], rel=1e-4)


def test_training_that_does_not_help_changes_nothing(folder, start, tmp_path, cache, monkeypatch):
    monkeypatch.setattr("training.data.benchmark.Benchmark.validate", lambda *_: {"chosen_by": 1.0})
    config = TrainConfig(epochs=1, batch_size=4, learning_rate=1e-2, seed=2)
    before, after = finetune.finetune(folder, start, tmp_path / "mine", config=config, cache=cache / "other")
    assert before["mae"] == after["mae"]
    assert checkpoint.weights_sha256(tmp_path / "mine") == checkpoint.weights_sha256(start)


def test_refusals(folder, start, tmp_path):
    config = TrainConfig(epochs=1)
    with pytest.raises(ValueError, match="expected another folder than the checkpoint"):
        finetune.finetune(folder, start, start, config=config, cache=tmp_path / "cache")
    other = json.loads((start / "config.json").read_text())
    other["schema"]["version"] = -1
    (start / "config.json").write_text(json.dumps(other))
    with pytest.raises(ValueError, match="schema: the extractors' output has version"):
        finetune.finetune(folder, start, tmp_path / "mine", config=config, cache=tmp_path / "cache")
    assert not (tmp_path / "mine").exists()


def other_clips(folder, made):
    """The same clips and words with other labels."""
    made.mkdir()
    for path in folder.glob("*.mkv"):
        (made / path.name).write_bytes(path.read_bytes())
    lines = (folder / "labels.csv").read_text().splitlines()
    turned = [",".join((name, str(-float(label)), *rest)) for name, label, *rest in (x.split(",") for x in lines[1:])]
    (made / "labels.csv").write_text("\n".join([lines[0], *turned]) + "\n")
    return made


def test_other_clips_or_another_start_are_not_taken_for_the_run_that_is_kept(folder, start, tmp_path, cache):
    config = TrainConfig(epochs=2, batch_size=4, learning_rate=1e-2, seed=3)

    def weights(data, checkpoint_folder, out):
        finetune.finetune(data, checkpoint_folder, tmp_path / out, config=config, cache=cache)
        return checkpoint.weights_sha256(tmp_path / out)

    first = weights(folder, start, "first")
    assert weights(folder, start, "again") == first
    turned = other_clips(folder, tmp_path / "turned")
    assert weights(turned, start, "turned labels") != first
    moved = checkpoint.load(start)
    moved.model.heads.score.bias.data += 0.5
    checkpoint.save(tmp_path / "moved", moved.model, schema=moved.schema)
    assert weights(folder, tmp_path / "moved", "another start") != first
