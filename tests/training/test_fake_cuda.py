"""Training on a GPU, pretended where there is none: no CPU tensor meets a CUDA one, and the numbers are the CPU's."""

import copy
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import distributed
from torch.testing._internal.distributed.fake_pg import FakeStore

from extractors.language import text_encoder
from tests.alignmamba.fake_cuda import gpu
from tests.training.data import mmsa_files
from tests.training.experiments.test_experiments import SETTINGS
from tests.training.small import batch, config, dropped, examples, truth
from tests.training.test_trainer import Made, model
from training import planted, trainer
from training.baselines import registry
from training.baselines.ridge import Ridge
from training.experiments import __main__ as experiments
from training.experiments import choose
from training.release import encoder
from training.trainer import Labelled, TrainConfig, fit

ALL = sorted({*registry.MAIN, *registry.ABLATION})
pytestmark = pytest.mark.gpu_or_pretended


def labelled(level):
    clips = examples(level)
    score, classes, counted = truth(level, clips)
    given = batch(level, dropped(clips))
    return Labelled(given, score, classes, counted if level == "step" else None, batch(level, clips))


@pytest.mark.parametrize("level", ["clip", "step"])
@pytest.mark.parametrize("name", ALL)
def test_every_model_forward_and_backward(name, level):
    torch.manual_seed(1)
    made = registry.build(name, config(level))
    if isinstance(made, Ridge):
        pytest.skip("solved on the CPU, not trained")
    part = labelled(level)
    torch.manual_seed(2)
    expected = trainer._loss(copy.deepcopy(made).train(), part)
    with gpu():
        made.to("cuda").train()
        torch.manual_seed(2)
        value = trainer._loss(made, part.to("cuda"))
        value.backward()
        assert value.device.type == "cuda"
    if name != "imder":  # draws noise in another order
        assert value.item() == pytest.approx(expected.item(), rel=1e-4, abs=1e-5)


class OnGpu(Made):
    def validate(self, trained):
        with torch.inference_mode():
            part = self.collate(self.clips).to("cuda")
            return {"chosen_by": float((trained(part.batch).score - part.score).abs().mean())}


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_fit(tmp_path, precision):
    settings = TrainConfig(epochs=2, batch_size=8, learning_rate=1e-2, precision=precision)
    on_cpu = fit(model(), Made(), settings) if precision == "float32" else None
    with gpu():
        run = fit(model().to("cuda"), OnGpu(), settings, folder=tmp_path)
        again = fit(model().to("cuda"), OnGpu(), settings, folder=tmp_path)
    assert again == run
    if on_cpu is not None:
        for ours, wanted in zip(run.history, on_cpu.history, strict=True):
            assert ours["loss"] == pytest.approx(wanted["loss"], rel=1e-4)
    assert np.isfinite(run.history[-1]["chosen_by"])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A data set and settings; the tables share their trained models."""
    folder = tmp_path_factory.mktemp("tables")
    mmsa_files.write(folder / "aligned_50.pkl", mmsa_files.stored(aligned=True))
    (folder / "small.yaml").write_text(SETTINGS.replace("bc-lstm, language-only", "ridge"))
    return folder


@pytest.mark.parametrize("name", ["distance", *sorted({*experiments.TABLES} - {"distance"})])  # it trains on its own
def test_table(world, monkeypatch, name):
    monkeypatch.chdir(world)
    with gpu():
        experiments.main(
            [name, "--settings", "small.yaml", "--data", "aligned_50.pkl", "--seeds", "1", "--results", "results"]
        )
    assert json.loads((world / "results" / "small" / f"{name}.json").read_text())["rows"]


def devices_of(monkeypatch, module):
    """The devices of the models that a module's `fit` is given."""
    seen = []

    def noted(trained, *arguments, **options):
        seen.append(next(trained.parameters()).device.type)
        return fit(trained, *arguments, **options)

    monkeypatch.setattr(module, "fit", noted)
    return seen


def test_choose(tmp_path, monkeypatch):
    mmsa_files.write(tmp_path / "aligned_50.pkl", mmsa_files.stored(aligned=True))
    (tmp_path / "small.yaml").write_text(SETTINGS)
    (tmp_path / "candidates.yaml").write_text("as it is:\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(choose, "FOLDS", 2)
    arguments = ["--settings", "small.yaml", "--candidates", "candidates.yaml", "--data", "aligned_50.pkl"]
    monkeypatch.setattr(sys, "argv", ["choose", *arguments, "--results", "results"])
    seen = devices_of(monkeypatch, choose)
    with gpu():
        choose.main()
    assert seen == ["cuda"] * 2


def test_planted(monkeypatch):
    monkeypatch.setattr(planted, "CLIPS", 16)
    monkeypatch.setattr(planted, "TRAIN", TrainConfig(epochs=1, batch_size=8))
    seen = devices_of(monkeypatch, planted)
    with gpu():
        for variant in ("alignmamba, lambda 1", "single-stream-transformer"):
            planted.measure(planted.TABLES["planted"][variant], 1)
    assert seen == ["cuda"] * 2


def strict(monkeypatch):
    """Lets `all_reduce` refuse CPU tensors; returns the dtypes that are sent."""
    sent = []

    def all_reduce(tensor, op=distributed.ReduceOp.SUM):
        if tensor.device.type != "cuda":
            raise RuntimeError("No backend type associated with device type cpu")
        sent.append(tensor.dtype)

    monkeypatch.setattr(distributed, "all_reduce", all_reduce)
    return sent


def test_torchrun_makes_a_table(world, monkeypatch):
    """The command in one of two processes, whose group is as strict as NCCL."""
    monkeypatch.chdir(world)
    sent, begin = strict(monkeypatch), distributed.init_process_group
    monkeypatch.setattr(
        distributed, "init_process_group", lambda _: begin("fake", store=FakeStore(), rank=0, world_size=2)
    )
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "0")
    arguments = ["--settings", "small.yaml", "--data", "aligned_50.pkl", "--seeds", "2", "--runs", "shared"]
    with gpu():
        experiments.main(["complete", *arguments, "--results", "shared-results"])
    assert not distributed.is_initialized()
    assert json.loads((world / "shared-results" / "small" / "complete.json").read_text())["rows"]
    assert {torch.int64, torch.int32, torch.float32, torch.float64} == set(sent)


def test_processes_send_tensors_of_the_gpu_only(tmp_path, monkeypatch):
    """As NCCL does, the group refuses CPU tensors; two processes that hold the same part train as one."""
    sent = strict(monkeypatch)
    distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    try:
        with gpu():
            trained = model().to("cuda")
            run = fit(trained, OnGpu(), TrainConfig(epochs=1, batch_size=24), folder=tmp_path)
    finally:
        distributed.destroy_process_group()
    assert np.isfinite(run.history[0]["loss"])
    # labels, which parameters were touched, their gradients, the loss
    assert sent[:2] == [torch.int64, torch.int32] and sent[-1] == torch.float64
    assert len(sent) == 3 + sum(parameter.grad is not None for parameter in trained.parameters())


def test_torchrun_uses_the_device_that_was_chosen(monkeypatch):
    """NCCL for GPUs, gloo where the CPU is asked for."""
    begun = []
    monkeypatch.setattr(distributed, "init_process_group", begun.append)
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: None)
    monkeypatch.setattr(distributed, "get_rank", lambda: 0)
    monkeypatch.setattr(torch.cuda, "set_device", begun.append)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with gpu():
        with trainer.processes() as first:
            assert first
        monkeypatch.setenv("ALIGNMAMBA_DEVICE", "cpu")
        with trainer.processes():
            pass
    assert begun == [1, "nccl", "gloo"]


def test_text_encoder(monkeypatch):
    """Two steps of its training and a prediction."""
    tools = text_encoder.load()
    with gpu():
        small = copy.deepcopy(tools.encoder)
        small.encoder.layer = small.encoder.layer[:1]  # one of six: the devices are the same
        moved = replace(tools, encoder=small.to("cuda"), device="cuda")
        monkeypatch.setattr(text_encoder, "load", lambda: moved)
        made = [
            encoder.Sentence(f"it was {word}", score, "mosi", split)
            for word, score in (("good", 2.0), ("bad", -2.0))
            for split in ("train", "valid")
        ]
        made.append(encoder.Sentence("a fine film", 1.0, "sst5", "train"))
        trained, _, record = encoder.train(made, encoder.EncoderConfig(epochs=(1, 1), batch_size=2))
    assert next(trained.parameters()).device.type == "cuda"
    assert all(np.isfinite(row["mae"]) for row in record["history"])
